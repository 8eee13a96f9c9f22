/** Puts the page together: sign in, then the slate, what goes on, the library, the player. */

import { request } from "./api.js";
import { $, arrange, h } from "./dom.js";
import { percent } from "./format.js";
import { countdown } from "./frame.js";
import { Generate } from "./generate.js";
import { acceptUrls } from "./ingest.js";
import { JobCards } from "./jobs.js";
import { Library } from "./library.js";
import { Live } from "./live.js";
import { toast } from "./notice.js";
import { Player } from "./player.js";
import { loadModels } from "./models.js";
import { Saving } from "./saving.js";
import { begin, signOut, takeLink } from "./session.js";
import { Uploads, acceptDrops } from "./uploads.js";

const IDEAS = [
  "A paper boat crosses a puddle, neon on the water",
  "Slow push through a greenhouse at dawn, dust in the light",
  "A lighthouse keeper waves at a passing airship",
];

const session = await begin(takeLink());
// A link that is opened in a tab that is here already.
addEventListener("hashchange", () => location.hash.startsWith("#signin=") && location.reload());

const [ready, models] = await Promise.all([
  request("GET", "//readyz", { renews: false }).catch(() => null),
  // Without the list a model can still be named.
  loadModels().catch(() => []),
]);
$("who").textContent = session.name;
$("bar").hidden = false;
$("desk").hidden = false;
$("banner").hidden = ready?.accepting ?? true;
$("banner").textContent = ready?.reason ?? "";

const live = new Live();
const generate = new Generate(ready?.default_provider ?? models[0]?.provider ?? "sample", models, begun);
function begun(job) {
  live.put(job);
  // On a phone the cards are below the slate: show that something happens.
  const card = document.querySelector(`[data-job="${job.id}"]`);
  const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  card?.scrollIntoView({ block: "nearest", behavior: smooth ? "smooth" : "auto" });
}

const saving = new Saving({
  onChange: (id) => {
    library.again(id);
    player.follow(library.assets);
  },
});
const library = new Library({
  onOpen: (asset) => player.open(asset),
  onChange: (assets) => player.follow(assets),
  saving,
  emptyState,
});
const player = new Player(library, generate, saving);
const jobs = new JobCards(live, { onChange: showCards });
const uploads = new Uploads({
  onDone: () => library.refresh(),
  onChange: showCards,
});

function showCards() {
  const cards = [...(uploads?.elements ?? []), ...(jobs?.elements ?? [])];
  $("progress-section").hidden = cards.length === 0;
  $("progress-title").textContent = cards.every((card) => card.dataset.status === "failed") ? "Not finished" : "In progress";
  arrange($("cards"), cards);
  const share = jobs?.share ?? null;
  document.title = share === null ? "Reelbase" : `${percent(share)} · Reelbase`;
}

function emptyState() {
  // On a first visit there is room, and somebody who does not know yet.
  $("sample-note").open = matchMedia("(min-width: 60rem)").matches;
  return [
    h("p.empty-title", {}, "Nothing shot yet."),
    h("p", {}, "Write a prompt and generate your first clip, or drop files anywhere on this page to add your own. Or start from an idea:"),
    h("ul.ideas.grid", {},
      ...IDEAS.map((idea, index) => {
        const frame = countdown({ number: IDEAS.length - index, share: (IDEAS.length - index) / 4 });
        const caption = h("span.caption", {}, h("span.name", {}, idea), h("span.meta", {}, "Use this prompt"));
        return h("li.tile", {}, h("button.idea", { type: "button", onclick: () => generate.suggest(idea) }, frame, caption));
      })),
  ];
}

acceptUrls((job) => {
  begun(job);
  // It is listed from now on, before its bytes are here.
  library.refresh();
});
acceptDrops({
  slate: $("generate"),
  onFiles: (files) => uploads.add(files),
  onImage: (file) => generate.useFile(file),
});
live.addEventListener("assets", async ({ detail }) => saving.hear(await library.hear(detail), detail));
live.addEventListener("reload", () => {
  if (listed) library.refresh();
  else library.reload();
  listed = true;
  saving.load();
});
live.addEventListener("offline", () => ($("offline").hidden = false));
live.addEventListener("online", () => ($("offline").hidden = true));
$("sign-out").addEventListener("click", async () => {
  live.stop();
  try {
    await signOut();
  } catch (error) {
    toast(error.message, { bad: true });
    live.start();
  }
});
let listed = false;
live.start();
