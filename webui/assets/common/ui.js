import {html, useEffect, useRef, useState} from '../vendor/preact-htm.js';

/** The head of both pages. @param {{title: string, at: string, children?: any}} props */
export function Header({title, at, children}) {
  return html`<header class="bar">
    <a class="brand" href="/" aria-label="Signalbox console"><span class="mark" aria-hidden="true"></span>Signalbox</a>
    <span class="site" data-testid="site">${title}</span>
    <nav aria-label="Pages">
      <a href="/" aria-current=${at === 'console' ? 'page' : undefined}>Console</a>
      <a href="/call" aria-current=${at === 'call' ? 'page' : undefined}>Test call</a>
    </nav>
    ${children}
  </header>`;
}

/** A state in colour and words. @param {{kind: 'good' | 'warn' | 'bad' | 'idle', children?: any, id?: string}} props */
export function Badge({kind, children, id}) {
  return html`<span class="badge ${kind}" data-testid=${id}>${children}</span>`;
}

/** Something people should read. @param {{kind: 'warn' | 'bad' | 'info', children?: any, id?: string}} props */
export function Notice({kind, children, id}) {
  return html`<div class="notice ${kind}" role=${kind === 'bad' ? 'alert' : 'status'} data-testid=${id}>${children}</div>`;
}

/**
 * A modal dialog: focus, Escape and the backdrop are the browser's own.
 * @param {{title: string, onClose: () => void, id?: string, children?: any}} props
 */
export function Dialog({title, onClose, id, children}) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const open = useRef(true);
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => { // taken away without Escape or ✕: the focus goes back all the same
      open.current = false;
      dialog?.close();
    };
  }, []);
  return html`<dialog ref=${ref} onClose=${() => open.current && onClose()} aria-label=${title} data-testid=${id}>
    <div class="row spread"><h2>${title}</h2>
      <button class="quiet" aria-label="Close" onClick=${() => ref.current?.close()}>✕</button></div>
    ${children}
  </dialog>`;
}

/**
 * A form that waits for what it starts, shows what went wrong, and starts it once.
 * @param {{onSubmit: (values: Record<string, string>) => Promise<unknown>, submit: string, id?: string, children?: any, danger?: boolean}} props
 */
export function Form({onSubmit, submit, id, children, danger}) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const alive = useRef(true);
  useEffect(() => () => { alive.current = false; }, []);
  const send = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError('');
    try {
      await onSubmit(/** @type {any} */ (Object.fromEntries(new FormData(/** @type {HTMLFormElement} */ (event.target)))));
    } catch (fault) {
      if (alive.current) setError(/** @type {Error} */ (fault).message);
    }
    if (alive.current) setBusy(false);
  };
  return html`<form onSubmit=${send} data-testid=${id}>
    ${children}
    ${error && html`<${Notice} kind="bad" id="form-error">${error}<//>`}
    <div class="row end"><button class=${danger ? 'danger' : 'primary'} disabled=${busy} type="submit">${busy ? 'One moment…' : submit}</button></div>
  </form>`;
}

/** A labelled input. @param {{label: string, name: string, hint?: string, [attribute: string]: any}} props */
export function Field({label, name, hint, ...input}) {
  return html`<label class="field"><span>${label}</span>
    <input name=${name} autocomplete="off" ...${input} />
    ${hint && html`<small>${hint}</small>`}</label>`;
}

/** Copies a text and says so. @param {{text: string, label?: string, id?: string}} props */
export function Copy({text, label = 'Copy link', id}) {
  const [done, setDone] = useState('');
  const copy = async () => {
    setDone((await copyText(text)) ? 'Copied' : 'Select the link and copy it');
    setTimeout(() => setDone(''), 3000);
  };
  return html`<button onClick=${copy} data-testid=${id}>${label}</button><span role="status" class="muted">${done}</span>`;
}

/** @param {string} text */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without HTTPS there is no clipboard for pages but this old way.
    const area = Object.assign(document.createElement('textarea'), {value: text, className: 'offscreen'});
    (document.querySelector('dialog[open]') ?? document.body).append(area);
    area.select();
    const copied = document.execCommand('copy');
    area.remove();
    return copied;
  }
}

/** A QR code the box has drawn. As a picture it can run nothing. @param {{svg: string, label: string}} props */
export function QR({svg, label}) {
  return html`<img class="qr" alt=${label} data-testid="qr" src=${`data:image/svg+xml;utf8,${encodeURIComponent(svg)}`} />`;
}
