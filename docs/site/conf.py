# SPDX-License-Identifier: Apache-2.0
"""How Sphinx makes the site, out of what assemble.py has put together. scripts/docs sets the version."""
import os

project = "fuller"
author = "The authors of fuller"
copyright = "The authors of fuller, Apache-2.0"
version = release = os.environ["FULLER_VERSION"]

extensions = ["myst_parser"]
root_doc = "index"
exclude_patterns = ["code/**"]
nitpicky = False

myst_heading_anchors = 4
myst_enable_extensions = ["tasklist"]

highlight_language = "none"
pygments_style = "friendly"
pygments_dark_style = "monokai"

html_theme = "furo"
html_title = f"fuller {release}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None
