"""Build the documentation site: `python docs/build.py [--serve]`. Needs `pip install ".[docs]"`.

Tutorials and other pages with code cells are executed. Warnings are errors, and so are links to pages, anchors or files
that the site does not have.
"""

import argparse
import os
import sys
import tempfile
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

HERE = Path(__file__).parent


class Page(HTMLParser):
    """Where a page of the site can be linked to, and what it links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value or "")
            elif name in ("href", "src"):
                self.links.add(value or "")


def broken_links(site: Path) -> list[str]:
    """Links from page to page of the site, to pictures, styles and scripts, that lead nowhere."""
    site = site.resolve()
    pages = {path: Page(path) for path in sorted(site.rglob("*.html")) if path.parent != site / "_static"}
    broken = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchor = unquote(parts.fragment)
            if not target.is_file() or not target.is_relative_to(site):
                broken.append(f"{path.relative_to(site)}: {link}: no such file")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                broken.append(f"{path.relative_to(site)}: {link}: no such anchor")
    return broken


def build(out: Path) -> int:
    """The site into out/html; the exit status."""
    from sphinx.cmd.build import main as sphinx

    with tempfile.TemporaryDirectory() as scratch:
        profile = Path(scratch, "profile_default")
        profile.mkdir()
        (profile / "ipython_kernel_config.py").write_text("get_config().Application.log_level = 'ERROR'\n")
        os.environ["IPYTHONDIR"] = scratch
        # A list of fonts of its own, made once: what other processes do to the user's, or making it, would speak up in pages.
        os.environ["MPLCONFIGDIR"] = str(Path(scratch, "matplotlib"))
        import matplotlib.font_manager  # noqa: F401

        status = sphinx(
            ["-b", "html", "-W", "--keep-going", "-q", "-E", "-d", f"{out}/doctrees", str(HERE), f"{out}/html"]
        )
    if status:
        return status
    broken = broken_links(out / "html")
    print("\n".join(broken) or f"{out / 'html' / 'index.html'}: built, no broken links")
    return int(bool(broken))


def serve(site: Path, port: int) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/  (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the documentation site, and check its links.")
    parser.add_argument("--out", type=Path, default=HERE / "_build", help="the site goes to OUT/html (docs/_build)")
    parser.add_argument("--serve", action="store_true", help="then serve it on this machine")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    status = build(options.out.resolve())
    if not status and options.serve:
        serve(options.out.resolve() / "html", options.port)
    return status


if __name__ == "__main__":
    sys.exit(main())
