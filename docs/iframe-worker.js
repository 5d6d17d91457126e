// The search runs in a worker, which browsers do not start for a page that was opened as a file. There it runs in a
// hidden frame instead; by this name mkdocs-material knows that nothing has to be fetched for it.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.scope = frame.contentWindow;
      this.scope.document.open();  // else Firefox replaces the empty page later, with what was put into it
      this.scope.document.write("<!doctype html><body></body>");
      this.scope.document.close();
      this.scope.postMessage = data => this.dispatchEvent(new MessageEvent("message", {data}));
      const script = this.scope.document.createElement("script");
      script.src = new URL(url, document.baseURI);
      this.loaded = new Promise(loaded => script.addEventListener("load", loaded));
      this.scope.document.body.append(script);
    }

    postMessage(data) {
      this.loaded.then(() => this.scope.dispatchEvent(new this.scope.MessageEvent("message", {data})));
    }
  };
  window.Worker = window.IFrameWorker;
}
