/** Files that are dragged over the page. */

const hasFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");

/** Take files that are dropped anywhere on the page; `zone` shows that it would take them. */
export function dropping(zone, onFiles, signal) {
  const over = (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    zone.classList.add("over");
  };
  document.addEventListener("dragenter", over, { signal });
  document.addEventListener("dragover", over, { signal });
  document.addEventListener("dragleave", (event) => event.relatedTarget || zone.classList.remove("over"), { signal });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files.length) onFiles([...event.dataTransfer.files]);
  }, { signal });
}

/** Go to where files can be dropped as soon as some are dragged over the page. */
export function uploadOnDrag(signal) {
  document.addEventListener("dragenter", (event) => {
    if (hasFiles(event)) location.hash = "#/upload";
  }, { signal });
}
