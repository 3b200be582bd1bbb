"""How the pages are built: `make docs`, or `sphinx-build -W docs docs/_build/html`.

The API, the glossary and the notebooks have one source each: docstrings, `types.py` and
`examples/`. `generated.py` writes them as pages before Sphinx looks for any.
"""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # read when the package is imported
os.environ["PYTHONPATH"] = str(DOCS.parent)  # the notebooks run in processes

import generated  # noqa: E402

import jaxpareto  # noqa: E402

generated.write(DOCS)

project = "jaxpareto"
author = copyright = "The jaxpareto authors"
release = version = jaxpareto.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "cache"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

default_role = "code"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"jaxpareto {release}"
html_static_path = ["_static"]
html_css_files = ["own.css"]
html_show_sourcelink = False

linkcheck_timeout = 20
linkcheck_ignore = [r"http://localhost"]


def setup(app):
    """Let `generated.py` have its say."""
    app.connect("autodoc-skip-member", generated.skip)
    app.connect("source-read", generated.read)
