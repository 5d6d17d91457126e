"""Objects as default arguments that a config can describe."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from jsonargparse import typing

T = TypeVar("T")


def lazy_instance(class_type: type[T], **kwargs: Any) -> T:
    """Calls jsonargparse's function of this name in a new thread, whose stack is short.

    The function looks up the module of every frame on the stack; below many imports that takes half a second.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: typing.lazy_instance(class_type, **kwargs)).result()
