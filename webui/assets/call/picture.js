// A picture and a tone without any camera or microphone: every browser can make
// a call with it, also on an insecure page.

const WIDTH = 640;
const HEIGHT = 360;
const FPS = 25;
const BARS = ['#c9ccc8', '#c6b13b', '#3fa7b3', '#43a867', '#a557a0', '#c2452f', '#2f4fa8'];

/**
 * A moving pattern with a clock, and a short tone each second, at the moment the
 * square lights up: who hears and sees both can tell how far they are apart.
 * @param {string} name  written into the picture
 * @returns {{stream: MediaStream, stop: () => void}}
 */
export function generate(name) {
  const canvas = Object.assign(document.createElement('canvas'), {width: WIDTH, height: HEIGHT});
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', {alpha: false}));
  draw(pen, name);
  // A timer, not animation frames: those stop when the page is not in front.
  const timer = setInterval(() => draw(pen, name), 1000 / FPS);
  const stream = canvas.captureStream(FPS);
  const tone = makeTone();
  if (tone) stream.addTrack(tone.track);
  return {
    stream,
    stop: () => {
      clearInterval(timer);
      tone?.stop();
      for (const track of stream.getTracks()) track.stop();
    },
  };
}

/** @param {CanvasRenderingContext2D} pen @param {string} name */
function draw(pen, name) {
  const now = new Date();
  const second = now.getMilliseconds() / 1000;
  const bar = WIDTH / BARS.length;
  const shift = [...name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0); // so that two sides look different
  BARS.forEach((_, i) => {
    pen.fillStyle = BARS[(i + shift) % BARS.length];
    pen.fillRect(i * bar, 0, bar + 1, HEIGHT);
  });
  pen.fillStyle = '#0c171a';
  pen.fillRect(0, HEIGHT * 0.66, WIDTH, HEIGHT);
  // A hand that goes round once a second shows every frame that is lost.
  pen.strokeStyle = '#f4f1ea';
  pen.lineWidth = 6;
  pen.beginPath();
  pen.arc(WIDTH - 62, HEIGHT - 62, 40, 0, 2 * Math.PI);
  pen.moveTo(WIDTH - 62, HEIGHT - 62);
  pen.lineTo(WIDTH - 62 + 36 * Math.sin(second * 2 * Math.PI), HEIGHT - 62 - 36 * Math.cos(second * 2 * Math.PI));
  pen.stroke();
  pen.fillStyle = second < 0.12 ? '#ffffff' : '#26383d';
  pen.fillRect(WIDTH - 168, HEIGHT - 92, 48, 60);
  pen.fillStyle = '#e5482d';
  pen.fillRect(((now.getTime() / 6) % (WIDTH + 60)) - 60, HEIGHT * 0.66 - 8, 60, 8);
  pen.fillStyle = '#f4f1ea';
  pen.font = '600 46px ui-monospace, monospace';
  pen.fillText(now.toTimeString().slice(0, 8), 22, HEIGHT - 62);
  pen.font = '500 22px system-ui, sans-serif';
  pen.fillText(name.slice(0, 32), 24, HEIGHT - 26);
}

function makeTone() {
  if (typeof AudioContext === 'undefined') return undefined;
  const audio = new AudioContext();
  const [source, level, out] = [audio.createOscillator(), audio.createGain(), audio.createMediaStreamDestination()];
  source.frequency.value = 880;
  level.gain.value = 0;
  source.connect(level).connect(out);
  source.start();
  // Before a click the browser keeps audio suspended; the picture goes without it.
  audio.resume().catch(() => {});
  const timer = setInterval(() => {
    const untilSecond = (1000 - (Date.now() % 1000)) / 1000;
    const at = audio.currentTime + untilSecond;
    level.gain.setValueAtTime(0.08, at);
    level.gain.setValueAtTime(0, at + 0.1);
  }, 1000);
  return {
    track: out.stream.getAudioTracks()[0],
    stop: () => {
      clearInterval(timer);
      audio.close().catch(() => {});
    },
  };
}
