"""A setgid bit that the kernel drops without a word is not called kept."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

GROUP = 4242
WITHOUT_FSETID = ("setpriv", "--clear-groups", "--inh-caps=-fsetid", "--bounding-set=-fsetid")
PROGRAM = f"""
import json, os, sys
from app.cell.restoring.attributes import Attributes, set_folder
from app.cell.restoring.staged_file import StagedFile
wanted = Attributes(0o2750, 0, {GROUP}, None, {{}})
folder = os.open(sys.argv[1], os.O_RDONLY)
os.mkdir("below", dir_fd=folder)
print(json.dumps([set_folder(os.open("below", os.O_RDONLY, dir_fd=folder), wanted),
                  StagedFile(folder, "file").finish(0, wanted)[1]]))
"""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, who may give up a right, and setpriv"
)


@pytest.mark.parametrize(("before", "kept"), [((), True), (WITHOUT_FSETID, False)])
def test_a_setgid_bit_is_kept_or_told(tmp_path: Path, before: tuple[str, ...], kept: bool) -> None:  # noqa: FBT001
    run = subprocess.run([*before, sys.executable, "-c", PROGRAM, tmp_path], check=True, capture_output=True)
    assert json.loads(run.stdout) == [kept, kept]
    assert [(tmp_path / name).stat().st_mode & 0o2000 != 0 for name in ("below", "file")] == [kept, kept]
