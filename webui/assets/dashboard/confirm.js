import {html} from '../vendor/preact-htm.js';
import {Dialog, Form} from '../common/ui.js';

/**
 * Asks before what cannot be taken back. `onConfirm` also closes it.
 * @param {{title: string, submit: string, onConfirm: () => Promise<unknown>, onClose: () => void, children?: any}} props
 */
export function Confirm({title, submit, onConfirm, onClose, children}) {
  return html`<${Dialog} title=${title} onClose=${onClose} id="confirm-dialog">${children}
    <${Form} onSubmit=${onConfirm} submit=${submit} id="confirm-form" danger=${true} /><//>`;
}
