"""`cell-backup demo`: the main job on a sample cell, from start to finish, with nothing left behind but the archive."""
