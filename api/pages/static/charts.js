// Loss and tokens/s over steps by uPlot. The data come from the sweep's curves.json; colours are the page's own.
(() => {
  "use strict";
  const DASHES = [[], [8, 3], [2, 3], [9, 3, 2, 3]];
  const HEIGHT = 280, GAP_MS = 3000;
  let kept = null, drawn = [], busy = false, again = false;

  // A colour of the page as the canvas understands it: the browser resolves light-dark() for an element's own colour.
  const css = (name) => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(${name})`;
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  };
  const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
  const whole = new Intl.NumberFormat("en");

  const axes = (value) => {
    const look = { stroke: css("--quiet"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
    return [{ ...look, values: (_, ticks) => ticks.map((t) => whole.format(t)) }, { ...look, size: 56, values: (_, ticks) => ticks.map(value) }];
  };

  const recurrence = (seeds) => ({
    hooks: {
      draw: [(plot) => {
        const step = seeds.map((s) => s.recurrence_step).find((s) => s !== null);
        if (step === undefined) return;
        const x = Math.round(plot.valToPos(step, "x", true));
        const { ctx, bbox } = plot;
        if (x < bbox.left || x > bbox.left + bbox.width) return;
        ctx.save();
        ctx.strokeStyle = css("--quiet");
        ctx.fillStyle = css("--quiet");
        ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
        ctx.textAlign = x > bbox.left + bbox.width * 0.7 ? "right" : "left";
        ctx.fillText(ctx.textAlign === "left" ? " recurrence on" : "recurrence on ", x, bbox.top + 12 * devicePixelRatio);
        ctx.restore();
      }],
    },
  });

  const line = (seed, index, digits) => ({
    label: `seed ${seed.seed}`,
    stroke: css(`--series-${index % 7}`),
    width: 1.75,
    dash: DASHES[index % DASHES.length],
    spanGaps: true,
    points: { show: seed.step.length < 3 },
    value: (_, v) => (v === null || v === undefined ? "–" : digits(v)),
  });

  const dots = (seed, index, digits) => ({
    label: `seed ${seed.seed} validation`,
    stroke: css(`--series-${index % 7}`),
    paths: () => null,
    points: { show: true, size: 8, width: 2, fill: css("--surface") },
    value: (_, v) => (v === null || v === undefined ? "–" : digits(v)),
  });

  const draw = (box, seeds, tables, series, value) => {
    if (!tables.length) return;
    const empty = box.querySelector("[data-chart-empty]");
    if (empty) empty.hidden = true;
    const options = {
      width: Math.max(box.clientWidth, 200),
      height: HEIGHT,
      scales: { x: { time: false } },
      series: [{ label: "step", value: (_, v) => (v === null || v === undefined ? "–" : whole.format(v)) }, ...series],
      axes: axes(value),
      cursor: { drag: { x: true, y: false } },
      plugins: [recurrence(seeds)],
    };
    drawn.push([box, new uPlot(options, tables.length > 1 ? uPlot.join(tables) : tables[0], box)]);
  };

  const redraw = () => {
    for (const [, plot] of drawn) plot.destroy();
    drawn = [];
    if (!kept) return;
    const loss = document.getElementById("chart-loss"), rate = document.getElementById("chart-rate");
    const exact = (v) => v.toFixed(4);
    const withSteps = kept.seeds.map((s, i) => [s, i]).filter(([s]) => s.step.length);
    const withVals = kept.seeds.map((s, i) => [s, i]).filter(([s]) => s.val_step.length);
    if (loss) {
      const tables = [...withSteps.map(([s]) => [s.step, s.loss]), ...withVals.map(([s]) => [s.val_step, s.val_loss])];
      const series = [...withSteps.map(([s, i]) => line(s, i, exact)), ...withVals.map(([s, i]) => dots(s, i, exact))];
      draw(loss, kept.seeds, tables, series, (v) => v.toFixed(v < 10 ? 1 : 0));
    }
    if (rate) {
      draw(rate, kept.seeds, withSteps.map(([s]) => [s.step, s.tokens_per_s]), withSteps.map(([s, i]) => line(s, i, (v) => whole.format(Math.round(v)))), (v) => short.format(v));
    }
  };

  const load = async () => {
    const source = document.querySelector("[data-curves]");
    if (!source) return;
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(source.dataset.curves, { headers: { Accept: "application/json" } });
      if (answer.ok) {
        const text = await answer.text();
        if (!kept || kept.text !== text) {
          kept = { ...JSON.parse(text), text };
          redraw();
        }
      }
    } catch { /* the service is away; the next event asks again */ }
    setTimeout(() => {
      busy = false;
      if (again) { again = false; load(); }
    }, GAP_MS);
  };

  let resizing = null;
  window.addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => { for (const [box, plot] of drawn) plot.setSize({ width: Math.max(box.clientWidth, 200), height: HEIGHT }); }, 100);
  });
  document.addEventListener("recur:theme", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.addEventListener("DOMContentLoaded", () => {
    load();
    document.body.addEventListener("recur:changed", load);
  });
})();
