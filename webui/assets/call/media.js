import {generate} from './picture.js';

/**
 * What this side sends. `why` says, for people, why it is not a camera.
 * @typedef {{kind: 'camera' | 'picture', stream: MediaStream, stop: () => void, why?: string}} Source
 */

/** Why there can be no camera on this page at all; undefined when there can. */
export function noCamera() {
  // The types say it is always there; browsers leave it out of insecure pages.
  if (/** @type {any} */ (navigator).mediaDevices?.getUserMedia) return undefined;
  if (!globalThis.isSecureContext) {
    return 'This page came over plain HTTP, and browsers give a camera to HTTPS pages only. A generated picture is sent instead.';
  }
  return 'This browser has no camera support. A generated picture is sent instead.';
}

/**
 * @param {'camera' | 'picture'} kind @param {string} name
 * @returns {Promise<Source>} the generated picture when there is no camera to be had
 */
export async function openSource(kind, name) {
  if (kind === 'picture') return {kind, ...generate(name)};
  const why = noCamera();
  if (why) return {kind: 'picture', ...generate(name), why};
  try {
    const stream = await camera();
    return {kind, stream, stop: () => stream.getTracks().forEach((track) => track.stop())};
  } catch (error) {
    return {kind: 'picture', ...generate(name), why: `${reason(/** @type {DOMException} */ (error))} A generated picture is sent instead.`};
  }
}

async function camera() {
  const video = {width: {ideal: 1280}, height: {ideal: 720}};
  try {
    return await navigator.mediaDevices.getUserMedia({video, audio: true});
  } catch (error) {
    // One of the two may be missing; the other still makes a call.
    if (/** @type {DOMException} */ (error).name !== 'NotFoundError') throw error;
    return navigator.mediaDevices.getUserMedia({video, audio: false}).catch(() => navigator.mediaDevices.getUserMedia({audio: true}));
  }
}

/** @param {DOMException} error */
function reason(error) {
  switch (error.name) {
    case 'NotAllowedError': case 'SecurityError':
      return 'Camera and microphone were not allowed. The lock in the address bar lets you change that.';
    case 'NotFoundError':
      return 'This device has no camera and no microphone.';
    case 'NotReadableError':
      return 'The camera is in use by another program.';
    default:
      return `The camera could not be opened (${error.name}).`;
  }
}
