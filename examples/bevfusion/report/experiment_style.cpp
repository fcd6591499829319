// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/experiment_style.hpp"

namespace bevfusion {

const char* experiment_style() {
  return R"(:root { color-scheme: light dark; --back: #fcfcfa; --card: #ffffff; --ink: #1b2126; --soft: #56626a; --rule: #dfe3e3;
  --good: #00694b; --bad: #a63a00; --link: #005a9c; --c0: #6b7378; --c1: #c65300; --c2: #0072b2; --c3: #00875f; --c4: #b0478a;
  --c5: #8f6a00; --c6: #2c7fb8; --c7: #8a5a2b; }
@media (prefers-color-scheme: dark) { :root { --back: #14181b; --card: #1b2024; --ink: #e6eaec; --soft: #a3afb6; --rule: #30383d;
  --good: #4fd6a6; --bad: #ff9b63; --link: #7cc0f5; --c0: #a3adb3; --c1: #ff8a3d; --c2: #5aa9e6; --c3: #35c79b; --c4: #dd8fbd;
  --c5: #e6bd3a; --c6: #8fd3f4; --c7: #c99a6b; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 2.2rem 1.5rem 4rem; }
a { color: var(--link); }
h1, h2, .answer { font-family: Charter, "Iowan Old Style", "Source Serif 4", Georgia, serif; text-wrap: balance; }
.kicker { margin: 0; color: var(--soft); font-size: .82rem; letter-spacing: .06em; text-transform: uppercase; }
h1 { font-size: clamp(1.5rem, 1.1rem + 1.9vw, 2.3rem); line-height: 1.18; margin: .25rem 0 0; font-weight: 700; }
h2 { font-size: 1.45rem; line-height: 1.25; margin: 3.2rem 0 .3rem; padding-top: 1.1rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.8rem 0 .5rem; }
p { max-width: 46rem; margin: .5rem 0; }
.answer { font-size: clamp(1.1rem, .95rem + .75vw, 1.42rem); line-height: 1.42; max-width: 54rem; margin: 1.2rem 0 .6rem;
  padding-left: 1rem; border-left: 4px solid var(--c1); text-wrap: pretty; }
.lead { font-size: 1.02rem; } .soft, .lead.soft { color: var(--soft); }
.problems { border: 1px solid var(--bad); border-radius: 8px; padding: .8rem 1rem; margin: 1.2rem 0; max-width: 54rem; }
.problems h2 { font: 600 1rem/1.4 system-ui, sans-serif; color: var(--bad); border: 0; margin: 0; padding: 0; }
.problems ul { margin: .4rem 0 0; padding-left: 1.2rem; } .problems li { overflow-wrap: anywhere; }
nav { margin: 1.4rem 0 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; font-size: .92rem; }
nav a { padding: .25rem 0; }
.facts { display: flex; flex-wrap: wrap; gap: .35rem 1.6rem; margin: 1rem 0 0; font-size: .92rem; color: var(--soft); }
.facts div { min-width: 0; } .facts dt { display: inline; } .facts dd { display: inline; margin: 0; color: var(--ink);
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr)); gap: 1.1rem 1.3rem; margin: .7rem 0; }
figure { margin: 0; min-width: 0; } figcaption { font-size: .86rem; font-weight: 600; line-height: 1.3; margin: 0 0 .25rem; }
figure svg { display: block; width: 100%; height: auto; max-width: 24rem; } .single svg { max-width: 40rem; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .88rem; max-width: none; }
.swatch { display: inline-block; width: 1.05em; height: .62em; border-radius: 2px; margin-right: .45em; vertical-align: .02em; }
.diamond { display: inline-block; width: .6em; height: .6em; border: 1.6px solid var(--ink); transform: rotate(45deg);
  margin: 0 .6em 0 .2em; }
.s0 { background: var(--c0); } .s1 { background: var(--c1); } .s2 { background: var(--c2); } .s3 { background: var(--c3); }
.s4 { background: var(--c4); } .s5 { background: var(--c5); } .s6 { background: var(--c6); } .s7 { background: var(--c7); }
.wide { overflow-x: auto; margin: .9rem 0; border-radius: 6px; }
.wide:focus-visible, summary:focus-visible, a:focus-visible, pre:focus-visible, input:focus-visible + label {
  outline: 2.5px solid var(--link); outline-offset: 2px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { text-align: right; padding: .42rem .8rem; border-bottom: 1px solid var(--rule); vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; white-space: nowrap; } th:first-child { text-align: left; padding-left: .2rem; }
tbody th { font-weight: 400; } .plain td { white-space: nowrap; } .plain th:first-child { min-width: 9rem; }
.results { width: 100%; } .results th[scope=row] { min-width: 9rem; } .results .name { font-weight: 600; }
.results .block th { text-align: left; padding-top: 1.3rem; color: var(--soft); font-weight: 600; white-space: normal; }
.results td > span, .results th > span { display: block; } .seeds, .paper, .change { color: var(--soft); font-size: .82rem; }
.results .seeds { padding-left: 1.55em; white-space: normal; max-width: 16rem; }
.ours { font-size: 1.06rem; font-weight: 600; } .ours small { font-weight: 400; color: var(--soft); font-size: .78em; }
.pending .name { font-weight: 400; } .pending .swatch { opacity: .5; }
.ours.none { color: var(--soft); } .change i { font-style: normal; padding-left: .35em; }
.mark { font-size: .84rem; font-weight: 600; white-space: nowrap; } .mark b { font-weight: 700; }
.mark.good { color: var(--good); } .mark.bad { color: var(--bad); } .mark.noise { color: var(--soft); }
.words td, .words th { text-align: left; } .words td { white-space: normal; overflow-wrap: anywhere; min-width: 12rem; }
.scene { margin: 0 0 1.6rem; } .tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(13rem, 46%), 1fr)); gap: .8rem; }
.tiles img, .cameras img { width: 100%; height: auto; display: block; border: 1px solid var(--rule); border-radius: 4px; background: #fff; }
.tiles figcaption, .cameras figcaption { margin: .3rem 0 0; font-weight: 400; }
.legend i { display: inline-block; width: .85em; height: .85em; border: 1px solid var(--soft); vertical-align: -.08em; }
.cameras { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); gap: 1rem; padding-top: .6rem; }
details { margin: .5rem 0; } summary { cursor: pointer; font-size: .9rem; color: var(--link); padding: .2rem 0; }
pre { overflow-x: auto; background: var(--card); border: 1px solid var(--rule); border-radius: 6px; padding: .7rem .9rem;
  font: .82rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; margin: .5rem 0; max-width: 100%; }
ul.findings { padding-left: 1.2rem; max-width: 54rem; } .findings li { margin: .3rem 0; }
svg text { fill: var(--ink); font-family: system-ui, sans-serif; font-size: 11.5px; } svg .tick, svg .note { fill: var(--soft); }
svg .strong { fill: var(--ink); font-size: 12px; } svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
svg .grid { stroke: var(--rule); } svg .axis { stroke: var(--soft); } svg .error { stroke: var(--ink); stroke-width: 1.3; }
svg .level { stroke: var(--soft); stroke-dasharray: 2 3; } svg .paper { fill: var(--back); stroke: var(--ink); stroke-width: 1.5; }
svg .pale { fill: none; stroke: var(--soft); stroke-width: 1; opacity: .38; } svg .band { opacity: .17; }
svg .series { fill: none; stroke-width: 2.1; stroke-linejoin: round; stroke-linecap: round; } svg .dashed { stroke-dasharray: 5 4; }
svg .f0 { fill: var(--c0); } svg .f1 { fill: var(--c1); } svg .f2 { fill: var(--c2); } svg .f3 { fill: var(--c3); }
svg .f4 { fill: var(--c4); } svg .f5 { fill: var(--c5); } svg .f6 { fill: var(--c6); } svg .f7 { fill: var(--c7); }
svg .c0 { stroke: var(--c0); } svg .c1 { stroke: var(--c1); } svg .c2 { stroke: var(--c2); } svg .c3 { stroke: var(--c3); }
svg .c4 { stroke: var(--c4); } svg .c5 { stroke: var(--c5); } svg .c6 { stroke: var(--c6); } svg .c7 { stroke: var(--c7); }
@media (max-width: 46rem) {
  main { padding: 1.3rem 1rem 3rem; }
  .results, .results tbody, .results tr, .results th, .results td { display: block; }
  .results thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .results tr { display: grid; grid-template-columns: 1fr 1fr; gap: .55rem 1rem; background: var(--card); border: 1px solid var(--rule);
    border-radius: 8px; padding: .75rem .9rem; margin: 0 0 .7rem; }
  .results tr.block { display: block; background: none; border: 0; padding: .9rem 0 .1rem; margin: 0; }
  .results th, .results td { border: 0; padding: 0; text-align: left; white-space: normal; } .results th[scope=row] { grid-column: 1 / -1; }
  .results td::before { content: attr(data-label); color: var(--soft); font-size: .8rem; }
}
@media print {
  :root { color-scheme: light; --back: #fff; --card: #fff; --ink: #000; --soft: #444; --rule: #bbb; --good: #00694b; --bad: #a63a00; }
  main { max-width: none; padding: 0; } nav { display: none; } .wide { overflow: visible; } pre { white-space: pre-wrap; }
  figure, tr, .scene { break-inside: avoid; } h2, h3 { break-after: avoid; } body { font-size: 10.5pt; }
}
)";
}

}  // namespace bevfusion
