"""Pages made from the package itself: methods, scores and data sets, from their docstrings."""

import re
from pathlib import Path

import data_pages
import method_pages
import score_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from unbraid.methods import METHODS


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Every method has its page under the overview, every page of results its place."""
    sections = {title: pages for entry in config.nav or [] for title, pages in entry.items()}
    sections["Methods"] += [f"methods/{name}.md" for name in METHODS]
    names = [path.name for path in sorted((Path(config.docs_dir) / "results").glob("*.md"))]
    sections["Results"] += [f"results/{name}" for name in names if f"results/{name}" not in sections["Results"]]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    texts = {f"methods/{name}.md": method_pages.page(name) for name in METHODS}
    texts |= {"methods/index.md": method_pages.overview(), "every-score.md": score_pages.page()}
    for place, text in texts.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    if page.file.src_uri == "data-sets.md":
        return f"{markdown}\n\n{data_pages.sections()}"
    if page.file.src_uri == "choosing.md":  # names in tables lead to their pages
        known = "|".join(METHODS)
        return re.sub(rf"`({known})`", r"[`\1`](methods/\1.md)", markdown)
    return markdown
