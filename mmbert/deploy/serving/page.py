"""The page of a server: what can be asked, how, and a form to try it. It needs nothing but the server itself."""

from __future__ import annotations

from html import escape

from mmbert.deploy.serving.description import STATUSES, Description

PAGE_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #2563eb }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin-top: 2.2rem }
pre, code, textarea { font: 13px/1.45 ui-monospace, monospace }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .7rem; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line) }
form { border: 1px solid var(--line); border-radius: 6px; padding: 1rem; display: grid; gap: .7rem }
label { display: grid; grid-template-columns: 8rem 1fr; align-items: center }
input[type=text] { font: inherit; padding: .3rem .5rem }
button { font: inherit; justify-self: start; padding: .35rem 1.2rem; border: 0; border-radius: 6px; cursor: pointer }
button { background: var(--accent); color: white }
.soft { opacity: .75 } #answer { white-space: pre-wrap; max-height: 24rem; overflow-y: auto }
"""
SCRIPT = """
document.querySelector('form').addEventListener('submit', async event => {
  event.preventDefault()
  const given = new FormData(event.target), sent = new FormData(), answer = document.getElementById('answer')
  for (const [name, value] of given) if (typeof value === 'string' ? value.trim() : value.size) sent.append(name, value)
  answer.hidden = false
  answer.textContent = '…'
  try {
    const response = await fetch('predict', {method: 'POST', body: sent})
    const said = await response.json()
    answer.textContent = (response.ok ? '' : `${response.status}\\n`) + JSON.stringify(said, null, 2)
  } catch (error) { answer.textContent = `no answer: ${error}` }
})
"""


def docs_page(described: Description) -> str:
    """HTML that holds all it needs."""
    name = escape(described.name)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>mmbert: {name}</title><link rel="icon" href="data:,"><style>{PAGE_STYLE}</style></head><body>
<h1>{name}</h1><p class="soft">a model of mmbert {escape(described.version)}, served by mmbert-serve</p>
<p>{escape(described.text)} For programs: <a href="openapi.json">openapi.json</a>, <a href="health">health</a>.</p>
<h2>Try it</h2>
<form>{"".join(form_field(described, modality) for modality in described.modalities)}
<button>Predict</button></form><pre id="answer" hidden></pre>
<h2>Tasks</h2>{tasks_table(described)}
<h2>Ask by curl</h2><pre>{escape(curl_examples(described))}</pre>
<p>Whatever is left out is absent. One sample gets one object, a list of samples a list. A string for a file is base64;
no path or address is read.</p>
<h2>Errors</h2><p>JSON with <code>error</code>, <code>remedy</code>, <code>field</code> and <code>sample</code>.</p>
<table>{"".join(f"<tr><td>{status}</td><td>{escape(why)}</td></tr>" for status, why in STATUSES.items())}</table>
<script>{SCRIPT}</script></body></html>
"""


#: What a form is sent for each kind of input that is a file.
EXAMPLE_FILES = {
    "image": "@picture.png",
    "audio": "@sound.wav",
    "video": "@clip.mp4",
    "series": "@sensor.csv",
    "features": "@features.npy",
}


def form_field(described: Description, name: str) -> str:
    """The input of one modality."""
    kind, shown = described.modalities[name], escape(name)
    if name in described.media or kind == "features":
        accept = f' accept="{kind}/*"' if kind in ("image", "audio") else ""
        return f'<label>{shown}<input type="file" name="{shown}"{accept}></label>'
    return f'<label>{shown}<input type="text" name="{shown}" autocomplete="off"></label>'


def tasks_table(described: Description) -> str:
    """Each task, its kind and its classes."""
    rows = [
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(facts['kind'])}</td>"
        f"<td>{escape(', '.join(facts.get('classes', [])))}</td></tr>"
        for name, facts in described.tasks.items()
    ]
    return f"<table><tr><th>task</th><th>kind</th><th>classes</th></tr>{''.join(rows)}</table>"


def curl_examples(described: Description) -> str:
    """Commands, for a shell on the server's own machine."""
    fields = []
    for name, kind in described.modalities.items():
        value = EXAMPLE_FILES.get(kind, "…")
        fields.append(f"-F {name}={value}" if value != "…" else f"-F '{name}=some text'")
    first = next(iter(described.modalities))
    values = {"text": '"some text"', "features": "[0.1, 0.2]"}
    sent = values.get(described.modalities[first], f"\"'$(base64 -w0 {first}.file)'\"")
    lines = [
        f"curl {' '.join(fields)} ADDRESS/predict",
        f"curl -H 'Content-Type: application/json' -d '{{\"{first}\": {sent}}}' ADDRESS/predict",
    ]
    return "\n".join(lines)
