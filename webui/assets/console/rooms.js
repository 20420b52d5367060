import {html, useCallback, useEffect, useState} from '../vendor/preact-htm.js';
import {api} from '../common/api.js';
import {Badge, Dialog, Field, Form} from '../common/ui.js';
import {InviteDialog} from './invites.js';

/** @param {{status: any}} props */
export function Rooms({status}) {
  const [rooms, setRooms] = useState(/** @type {any[] | undefined} */ (undefined));
  const [dialog, setDialog] = useState(/** @type {any} */ (undefined));
  const load = useCallback(async () => setRooms(await allRooms()), []);
  // The state tells how many there are; what they are is asked for when that changes, and now and then.
  useEffect(() => {
    load().catch(() => {});
    const timer = setInterval(() => load().catch(() => {}), 10_000);
    return () => clearInterval(timer);
  }, [status.rooms, status.members, status.signaling.suspended, status.started]);
  const close = () => setDialog(undefined);

  return html`<section class="card" aria-label="Rooms">
    <div class="row spread"><h2>Rooms</h2><button class="primary" data-testid="new-room" onClick=${() => setDialog({kind: 'create'})}>New room</button></div>
    ${rooms?.length === 0 && html`<p class="muted">No rooms yet. A room is where devices meet: make one here, or let devices with the right to create make their own.</p>`}
    ${rooms && rooms.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="List of rooms"><table data-testid="rooms">
      <thead><tr><th scope="col">Room</th><th scope="col">Members</th><th scope="col">Kept</th><th scope="col"><span class="offscreen">Actions</span></th></tr></thead>
      <tbody>${rooms.map((room) => html`<${RoomRow} key=${room.name} room=${room} open=${setDialog} changed=${load} />`)}</tbody>
    </table></div>`}
    ${dialog?.kind === 'create' && html`<${CreateDialog} onClose=${close} changed=${load} />`}
    ${dialog?.kind === 'delete' && html`<${DeleteDialog} room=${dialog.room} onClose=${close} changed=${load} />`}
    ${dialog?.kind === 'invite' && html`<${InviteDialog} room=${dialog.room.name} onClose=${close} />`}
  </section>`;
}

/** @param {{room: any, open: (dialog: any) => void, changed: () => Promise<void>}} props */
function RoomRow({room, open, changed}) {
  const members = room.members ?? [];
  const kick = async (/** @type {any} */ member) => {
    await api('DELETE', `${path(room)}/members/${encodeURIComponent(member.member)}`).catch(() => {});
    await changed();
  };
  return html`<tr data-testid="room" data-room=${room.name}>
    <th scope="row">${room.name}${room.description && html`<small class="muted">${room.description}</small>`}</th>
    <td>${members.length === 0 ? html`<span class="muted">nobody</span>` : html`<ul class="plain">${members.map((/** @type {any} */ member) => html`<li key=${member.member} class="row">
      <span>${member.name || member.subject}</span>
      ${member.state === 'suspended' && html`<${Badge} kind="warn">interrupted<//>`}
      <button class="quiet" aria-label=${`Remove ${member.name || member.subject} from ${room.name}`} onClick=${() => kick(member)}>Remove</button></li>`)}</ul>`}</td>
    <td>${room.pinned ? 'for good' : 'while used'}</td>
    <td><div class="row end">
      <a class="button" href=${`/call#room=${encodeURIComponent(room.name)}`}>Test call</a>
      <button onClick=${() => open({kind: 'invite', room})} aria-label=${`Invite to ${room.name}`}>Invite</button>
      <button class="danger" onClick=${() => open({kind: 'delete', room})} aria-label=${`Delete ${room.name}`}>Delete</button>
    </div></td></tr>`;
}

/** @param {{onClose: () => void, changed: () => Promise<void>}} props */
function CreateDialog({onClose, changed}) {
  const create = async (/** @type {any} */ values) => {
    await api('POST', '/v1/rooms', {name: values.name, description: values.description, capacity: Number(values.capacity) || 0, pinned: values.pinned === 'on'});
    await changed();
    onClose();
  };
  return html`<${Dialog} title="New room" onClose=${onClose} id="room-dialog"><${Form} onSubmit=${create} submit="Make the room">
    <${Field} label="Name" name="name" required=${true} maxlength="64" pattern="[\\w.\\/\\-]+" hint="Letters, digits, - _ . and /" />
    <${Field} label="Description" name="description" maxlength="256" />
    <${Field} label="Most members" name="capacity" type="number" min="0" placeholder="the box's default" />
    <label class="check"><input type="checkbox" name="pinned" defaultChecked=${true} /> Keep the room when its last member leaves</label>
  <//><//>`;
}

/** @param {{room: any, onClose: () => void, changed: () => Promise<void>}} props */
function DeleteDialog({room, onClose, changed}) {
  const remove = async () => {
    await api('DELETE', path(room));
    await changed();
    onClose();
  };
  return html`<${Dialog} title=${`Delete ${room.name}?`} onClose=${onClose} id="delete-dialog">
    <p>${room.count > 0 ? `Its ${room.count} members are removed, and their calls end.` : 'Nobody is in it.'} This cannot be undone.</p>
    <${Form} onSubmit=${remove} submit="Delete the room" danger=${true} /><//>`;
}

/** @param {any} room */
const path = (room) => `/v1/rooms/${encodeURIComponent(room.name)}`;

/** Every page of the list, up to what fits on a screen. */
async function allRooms() {
  const rooms = [];
  let after = '';
  do {
    const page = await api('GET', `/v1/rooms?members=true${after && `&after=${encodeURIComponent(after)}`}`);
    rooms.push(...page.rooms);
    after = page.next ?? '';
  } while (after && rooms.length < 500);
  return rooms;
}
