"""What `make notebooks` adds to nbconvert: HTML that needs no network and describes its pictures.

By itself nbconvert leaves formulas to MathJax and sliders to a widget library, and the browser fetches both from the
network. Here formulas become MathML, which browsers show by themselves. Sliders can do nothing without a kernel and are
left out; their pictures stay, at the sliders' first values.
"""

import html
import re
from typing import Any

from latex2mathml.converter import convert
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode

FORMULA = re.compile(r"\$([^$]+)\$")
WIDGET = "application/vnd.jupyter.widget-view+json"


def mathml(formula: re.Match[str]) -> str:
    return convert(formula[1]).replace("<math ", '<math style="font-size: 120%" ', 1)


class Offline(Preprocessor):
    """Replaces what a browser would need the network for."""

    def preprocess(self, notebook: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        notebook.metadata.pop("widgets", None)
        return super().preprocess(notebook, resources)  # type: ignore[no-untyped-call]

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        if cell.cell_type == "markdown":
            cell.source = FORMULA.sub(mathml, cell.source)
        elif cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    output.data["text/html"] = self.picture(output)
        return cell, resources

    def picture(self, output: NotebookNode) -> str:
        """An image with its description, which nbconvert itself would leave out."""
        says = output.metadata.get("image/png", {})
        size = "".join(f' {side}="{says[side]}"' for side in ("width", "height") if side in says)
        source = "data:image/png;base64," + output.data["image/png"].strip()
        return f'<img src="{source}" alt="{html.escape(says.get("alt", "a picture"))}"{size}>'


config = get_config()  # noqa: F821  nbconvert provides it
config.HTMLExporter.preprocessors = [Offline]
config.HTMLExporter.mathjax_url = ""
config.HTMLExporter.require_js_url = ""
