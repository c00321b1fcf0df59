// A file to search by: dropped, pasted or chosen. One at a time, shown as a chip with a preview.

import { byId, el, icon, iconButton } from "./dom.js";
import { kindIcon, kindName } from "./words.js";

const EXTENSIONS = {
  image: "jpg jpeg png webp gif bmp tif tiff heic avif",
  audio: "wav mp3 flac ogg oga opus m4a aac",
  video: "mp4 webm mov mkv avi m4v",
};

/** What a file is by its type, else by its name; null for none of image, audio and video. */
export function kindOf(file) {
  const main = file.type.split("/")[0];
  if (main in EXTENSIONS) return main;
  const extension = file.name.split(".").pop().toLowerCase();
  const found = Object.entries(EXTENSIONS).find(([, known]) => known.split(" ").includes(extension));
  return found ? found[0] : null;
}

/** Let files come in by every way; `take(file)` gets one, `tell(sentence)` says what is left. */
export function acceptFiles(take, tell) {
  const offer = (files) => {
    if (!files.length) return;
    const file = [...files].find(kindOf);
    if (!file) return tell("That is no image, sound or film, so it cannot be searched by.");
    if (!file.size) return tell("That file is empty.");
    take(file);
    if (files.length > 1) tell(`Only ${file.name} is searched by.`);
  };
  const input = byId("file");
  byId("attach").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    offer(input.files);
    input.value = "";
  });
  document.addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    offer(event.clipboardData.files);
  });
  const veil = byId("drop");
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    veil.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) veil.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!holdsFiles(event)) return;
    event.preventDefault();
    offer(event.dataTransfer.files);
  });
}

/** A chip that shows a file, with a button that removes it. */
export function fileChip(file, remove) {
  const kind = kindOf(file);
  return chip(preview(file, kind), file.name || kindName(kind), remove);
}

/** A chip in the search box: a picture, a name and a way out. */
export function chip(picture, name, remove) {
  return el(
    "span",
    { class: "chip" },
    picture,
    el("span", { class: "name", dir: "auto", title: name }, name),
    iconButton("close", `Remove ${name}`, remove),
  );
}

function preview(file, kind) {
  if (kind === "audio") return icon(kindIcon(kind), "drawing");
  const url = URL.createObjectURL(file);
  const free = () => URL.revokeObjectURL(url);
  if (kind === "image") return el("img", { src: url, alt: "", onload: free, onerror: free });
  return el("video", { src: url, preload: "metadata", onloadeddata: free, onerror: free });
}
