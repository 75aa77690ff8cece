"""Which folders a tar stream has named so far."""

from app.archive.names import FOLDER, Names


class Parents:
    """Remember the folders of one volume, in a few bytes each."""

    def __init__(self) -> None:
        self._names = Names()
        self._last = b""

    def have(self, path: bytes, *, is_folder: bool) -> bool:
        """Tell whether the folder of a member came before it; the volume itself always did."""
        folder = path.rpartition(b"/")[0]
        if folder not in {b"", self._last} and self._names.kind_of(folder) != FOLDER:
            return False
        self._last = folder
        if is_folder and path:
            self._names.add(path, FOLDER)
        return True
