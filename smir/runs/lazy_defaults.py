"""Objects as default arguments that a config can spell out."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from jsonargparse import typing

T = TypeVar("T")


def lazy_instance(class_type: type[T], **kwargs: Any) -> T:
    """Calls jsonargparse's function of this name, in a new thread.

    That function looks up the module of every frame on the stack. Deep below the imports that lead to a default
    argument, this takes half a second per call; a new thread has a short stack.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: typing.lazy_instance(class_type, **kwargs)).result()
