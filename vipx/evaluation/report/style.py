"""What reports look like beside the style of all pages: charts, and plates of pictures."""

STYLE = """
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; }
.charts figure, .plates figure { background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; margin: 0; padding: .7rem; }
.charts svg { display: block; width: 100%; height: auto; color: var(--ink); }
svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
svg .grid { stroke: var(--line); } svg .axis { stroke: currentColor; fill: none; }
svg .first { stroke: var(--blue); } svg .second { stroke: var(--orange); stroke-dasharray: 6 3; }
svg .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .good { fill: var(--blue); } svg .bad { fill: var(--orange); }
svg .title { font-weight: 600; }
.plates { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(28rem, 100%), 1fr)); gap: 1rem;
  margin-top: 1rem; }
.plates ul { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: .4rem; margin: 0; padding: 0;
  list-style: none; font-size: .8rem; color: var(--soft); }
.plates li.none { border: 1px dashed var(--line); border-radius: .25rem; display: grid;
  place-items: center; text-align: center; align-self: start; aspect-ratio: 1; }
.plates img { display: block; width: 100%; height: auto; border-radius: .25rem; }
"""
