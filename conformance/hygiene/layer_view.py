#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the include path of one layer: a folder of links to the layers that it may see.

usage: layer_view.py SOURCE_ROOT VIEW LAYER SEEN...

Run when the build is configured. VIEW gets one link for LAYER and for each SEEN layer, and a folder choir/ with
links to the public headers of the core: net.h is left out, it belongs to the code above.
"""
import os
import shutil
import sys


def main(root, view, layer, *seen):
    shutil.rmtree(view, ignore_errors=True)
    os.makedirs(os.path.join(view, "choir"))
    for name in (layer, *seen):
        os.symlink(os.path.join(root, "lib", name), os.path.join(view, name))
    public = os.path.join(root, "include", "choir")
    for name in sorted(os.listdir(public)):
        if name.endswith(".h") and name != "net.h":
            os.symlink(os.path.join(public, name), os.path.join(view, "choir", name))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
