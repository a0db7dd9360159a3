"""A document of blocks as Markdown and as HTML that carries its pictures.

Blocks are tuples: `("title", text)`, `("heading", text)`, `("text", text)`, `("list", texts)`, `("table", header, rows)` and
`("figure", file name, caption)`. In texts, `code` and **strong** are marked as in Markdown.
"""

import base64
import html
import pathlib
import re
from typing import Any

Block = tuple[Any, ...]


def to_markdown(blocks: list[Block]) -> str:
    """The document as Markdown, with links to the pictures."""
    return "\n\n".join(_markdown(each) for each in blocks) + "\n"


def _markdown(block: Block) -> str:
    kind, *rest = block
    if kind == "list":
        return "\n".join(f"- {each}" for each in rest[0])
    if kind == "table":
        rows = [rest[0], ["---"] * len(rest[0]), *rest[1]]
        return "\n".join("| " + " | ".join(each.replace("|", "\\|") for each in row) + " |" for row in rows)
    if kind == "figure":
        return f"![{rest[1]}]({rest[0]})"
    return {"title": "# ", "heading": "## ", "text": ""}[kind] + rest[0]


_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:62em;margin:2em auto;padding:0 1em;color:#222}table{border-collapse:collapse;"
    "margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:left}img{max-width:100%}"
    "code{background:#f2f4f7;padding:0 .2em}figcaption{color:#555}div{overflow-x:auto}"
)


def to_html(blocks: list[Block], folder: pathlib.Path) -> str:
    """The document as HTML; its pictures, from `folder`, are inside."""
    title = html.escape(blocks[0][1])
    body = "\n".join(_element(each, folder) for each in blocks)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def _element(block: Block, folder: pathlib.Path) -> str:
    kind, *rest = block
    if kind == "list":
        return "<ul>" + "".join(f"<li>{_inline(each)}</li>" for each in rest[0]) + "</ul>"
    if kind == "table":
        line = lambda row, tag: "<tr>" + "".join(f"<{tag}>{_inline(each)}</{tag}>" for each in row) + "</tr>"
        return "<div><table>" + line(rest[0], "th") + "".join(line(row, "td") for row in rest[1]) + "</table></div>"
    if kind == "figure":
        name, caption = rest
        kinds = {"png": "image/png", "svg": "image/svg+xml"}
        code = base64.b64encode((folder / name).read_bytes()).decode()
        source = f"data:{kinds[name.rsplit('.', 1)[1]]};base64,{code}"
        caption = html.escape(caption)
        return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    tag = {"title": "h1", "heading": "h2", "text": "p"}[kind]
    return f"<{tag}>{_inline(rest[0])}</{tag}>"


def _inline(text: str) -> str:
    text = re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))
    return re.sub(r"\*\*([^*]*)\*\*", r"<strong>\1</strong>", text)
