/* Search in pages that are opened from a disk.

Browsers start no worker from a file: address. There, the script of a worker runs in a hidden frame of the page, with the
part of a worker's interface that the search uses. The path of this file has the name by which Zensical knows that pages
bring such a script along, so that it refers to none elsewhere. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.onmessage = this.onerror = this.onmessageerror = null;
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const scope = this.frame.contentWindow;
      scope.postMessage = (data) => this.tell(new MessageEvent("message", { data: structuredClone(data) }));
      const script = scope.document.createElement("script");
      script.src = url;
      this.ready = new Promise((resolve) => { script.onload = resolve; });
      script.onerror = () => this.tell(new ErrorEvent("error", { message: `${url} cannot be loaded` }));
      scope.document.body.append(script);
    }

    tell(event) {
      this.dispatchEvent(event);
      this[`on${event.type}`]?.(event);
    }

    postMessage(data) {
      const scope = this.frame.contentWindow;
      const event = new scope.MessageEvent("message", { data: structuredClone(data) });
      this.ready.then(() => scope.dispatchEvent(event));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
