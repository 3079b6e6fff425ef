"""Settings of the documentation site; `python docs/build.py` builds it."""

import os
import re
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util.logging import getLogger

import fastdiff

HERE = Path(__file__).parent
os.environ["MATPLOTLIBRC"] = str(HERE / "matplotlibrc")  # how pictures of executed pages look

project = "fastdiff"
copyright = "the fastdiff developers"
author = "the fastdiff developers"
release = version = fastdiff.__version__

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
exclude_patterns = ["README.md", "_build"]
nitpicky = True

# Pages are MyST markdown; those that begin with a kernel are executed whenever the site is built.
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb"}
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_show_tb = True
nb_execution_in_temp = True
nb_execution_timeout = 120
nb_output_stderr = "warn"  # a warning of Python is one of the build

autosummary_generate = True
autosummary_generate_overwrite = True
autodoc_typehints = "none"  # the docstrings tell types in words
default_role = "py:obj"
# In docstrings single backticks are references, or else parameters and attributes; names of public things must resolve.
nitpick_ignore_regex = [
    ("py:obj", rf"(?!({'|'.join(fastdiff.__all__)})$)[a-z_]+(\[.*\]|\(.*\))?"),
    ("py:obj", r"(Result|Report|Entry)\.[a-z]+|(jax|matplotlib|numpy|scipy|sympy|torch)\..*"),
]
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
templates_path = ["_templates"]

html_theme = "pydata_sphinx_theme"
html_title = "fastdiff"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 7,
}
html_show_sourcelink = False
html_copy_source = False


SHOWN = 0.7  # of the 150 dots an inch of matplotlibrc


def setup(app):
    """Formulas as MathML, which browsers show without scripts or network."""
    app.add_html_math_renderer("mathml", (_visit(block=False), None), (_visit(block=True), None))
    app.connect("doctree-read", _size_pictures, priority=100)


def _size_pictures(app, doctree):
    """Pictures of executed pages are shown smaller than they are, with letters as large as the text's."""
    for image in doctree.findall(nodes.image):
        path = Path(app.srcdir, image["uri"].lstrip("/"))
        if "jupyter_execute" in path.parts and path.suffix == ".png":
            width = int.from_bytes(path.read_bytes()[16:20])
            image["width"] = f"{SHOWN * width:.0f}px"


def _visit(block):
    def visit(self, node):
        latex = re.sub("'+", lambda primes: "^{" + r"\prime" * len(primes[0]) + "}", node.astext())
        try:
            self.body.append(tex2mathml(latex, as_block=block))
        except MathError as error:
            getLogger(__name__).warning("formula %r: %s", node.astext(), error, location=node)
        raise nodes.SkipNode

    return visit


html_math_renderer = "mathml"
