"use strict";
// The server escapes everything that it renders. Details that were open stay open.
const spaces = document.getElementById("spaces");
const state = document.getElementById("state");
const newest = () => document.querySelector("[data-newest]");

function isInView(element) {
  const box = element?.getBoundingClientRect();
  return !box || (box.bottom > 0 && box.top < window.innerHeight);
}

async function update() {
  const open = [...document.querySelectorAll("details[open]")].map((details) => details.id);
  const follows = isInView(newest());
  spaces.innerHTML = await (await fetch("/spaces")).text();
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (follows) newest()?.scrollIntoView({ block: "nearest" });
}

const events = new EventSource("/events");
events.onopen = () => { state.textContent = "live"; newest()?.scrollIntoView({ block: "nearest" }); };
events.onerror = () => { state.textContent = "the emulator has stopped"; };
events.onmessage = update;
