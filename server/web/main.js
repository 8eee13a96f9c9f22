/**
 * Puts the page together: sign in, then whatever the address names (router.js).
 *
 * How it is made: one page, a module per job, nothing to build. index.html has the shell; all
 * else is made by `h` of dom.js in the view that shows it, and styled in that view's section of
 * page.css. Shared state lives in modules (live.js, state.js, saving.js, library/list.js), which
 * views import; views know nothing of each other but their addresses.
 */

import { $ } from "./dom.js";
import { isActive, live } from "./live.js";
import { missing, toast } from "./notice.js";
import { go, prefetch, route, start } from "./router.js";
import { begin, signOut, takeLink } from "./session.js";
import { may, models, service } from "./state.js";

route("/library", () => import("./library/view.js"), { nav: "library" });
route("/asset/:id", () => import("./asset/view.js"), { nav: "library" });
route("/generate", () => import("./generate/view.js"), { nav: "generate" });
route("/jobs", () => import("./jobs/view.js"), { nav: "jobs" });
route("/jobs/:id", () => import("./jobs/view.js"), { nav: "jobs" });
route("/manage", () => import("./manage/view.js"), { nav: "manage" });
route("/manage/look", () => import("./manage/view.js"), { nav: "manage" });
route("/manage/projects", () => import("./manage/projects.js"), { nav: "manage" });
route("/manage/projects/:id", () => import("./manage/storyboard.js"), { nav: "manage" });
route("/manage/trash", () => import("./manage/trash.js"), { nav: "manage" });
route("/manage/usage", () => import("./manage/usage.js"), { nav: "manage" });
route("/manage/keys", () => import("./manage/keys.js"), { nav: "manage" });
route("/manage/users", () => import("./manage/users.js"), { nav: "manage" });
// Where it was before: such addresses are kept.
route("/library/trash", async () => ({ mount: () => go("/manage/trash", { replace: true }) }), { nav: "manage" });

// What is not needed to look at the library comes after it.
const adding = () => import("./add/add.js");

const session = await begin(takeLink());
// A link that is opened in a tab that is here already.
addEventListener("hashchange", () => location.hash.startsWith("#signin=") && location.reload());

$("who").textContent = session.name;
$("shell").hidden = false;
$("skip").addEventListener("click", (event) => {
  event.preventDefault();
  ($("view").querySelector("h1") ?? $("view")).focus();
});
$("add").addEventListener("click", () => adding().then(({ openAdd }) => openAdd(), missing));
let leaving = false;
$("sign-out").addEventListener("click", async () => {
  leaving = true;
  live.stop();
  try {
    await signOut();
  } catch (error) {
    toast(error.message, { bad: true });
    leaving = false;
    live.start();
  }
});
service.subscribe((ready) => {
  $("banner").hidden = ready.accepting;
  $("banner").textContent = ready.reason ?? "";
});
live.addEventListener("offline", () => ($("offline").hidden = false));
live.addEventListener("online", () => ($("offline").hidden = true));
live.addEventListener("jobs", ({ detail }) => {
  const running = detail.filter(isActive).length;
  $("jobs-count").textContent = running || "";
  $("jobs-words").textContent = running ? `${running} running` : "";
});
service.ready().catch(() => {});
// Not after the view: a file that is dropped meanwhile would be opened by the browser.
adding().then(({ acceptDrops }) => acceptDrops(), missing);
await start();
// Whoever is quick may be signing out by now.
if (!leaving) {
  // A key that may not look is told nothing of what goes on either.
  if (may("read")) live.start();
  // What can be generated is all that its view has to ask for.
  prefetch().then(() => models.ready()).catch(() => {});
}
