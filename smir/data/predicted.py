"""Images to predict: whole views, but for those that are read in windows."""

from torch.utils.data import Dataset

from smir.data.choice import Choice
from smir.data.files import FileList
from smir.data.pairs import Images, Sample, WholeViews
from smir.data.visits import Visit
from smir.preprocessing import Preprocessing


class PredictedImages(Dataset[Sample]):
    """Images at their whole view; of those that are read in windows only which they are.

    Args:
        files: The images.
        min_side: Shortest side in pixels below which an image that is seen whole is refused.
        preprocessing: Gives the view.
        choice: Tells the two kinds apart.
    """

    def __init__(self, files: FileList, min_side: int, preprocessing: Preprocessing, choice: Choice) -> None:
        self.files, self.choice = files, choice
        self._whole = WholeViews(Images(files, min_side), preprocessing)

    def __getitem__(self, visit: Visit) -> Sample:
        """Returns index and weight, and for a whole view the image (3, h, w) uint8 and the size of its source."""
        if self.choice.in_windows(self.files.path(visit.index)):
            return {"index": visit.index, "weight": visit.weight}
        return self._whole[visit]
