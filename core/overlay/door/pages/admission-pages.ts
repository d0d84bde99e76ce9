import { workSolverSource } from '../../../credentials/human-test/proof-of-work.ts';
import type { AdmissionQuestion } from '../../admission/admission-method.ts';
import { doorPaths } from '../door-paths.ts';
import { type Html, html } from './html.ts';
import { type RenderedPage, renderPage } from './layout.ts';

type Challenge = Extract<AdmissionQuestion, { kind: 'challenge' }>;

/** How many sounds are played one after the other. */
const soundsInARow = 3;

/** Computes in slices, so that the page stays usable, and sends the answer when it is done. */
const workScript = `(() => {
const solve = ${workSolverSource()};
const form = document.querySelector('form[data-prefix]');
const field = form.elements.namedItem('work');
const status = document.getElementById('work-status');
const { prefix, bits } = form.dataset;
let next = 0;
let waiting = false;
const step = () => {
  const nonce = solve(prefix, Number(bits), next, 20000);
  next += 20000;
  if (nonce === null) { setTimeout(step, 0); return; }
  field.value = nonce;
  status.textContent = 'Your browser has done its part.';
  if (waiting) form.requestSubmit();
};
form.addEventListener('submit', (event) => {
  if (field.value !== '') return;
  event.preventDefault();
  waiting = true;
  status.textContent = 'Your answer is sent as soon as your browser has done its part.';
});
step();
})();`;

/** The human test: letters to read, or sounds to recognise for whoever cannot see them or would rather not. */
export function humanTestPage(challenge: Challenge): RenderedPage {
  const { form, work } = challenge;
  const media = `data:${challenge.mediaType};base64,${challenge.media.toString('base64')}`;
  const other = challenge.forms.find((one) => one !== form);
  return renderPage({
    status: 200,
    title: form === 'image' ? 'Which letters are these?' : 'What do you hear?',
    ...(work ? { script: workScript } : {}),
    body: html`<section>
<form method="post" action="${doorPaths.humanTest}"${work ? html` data-prefix="${work.prefix}" data-bits="${work.bits}"` : null}>
<input type="hidden" name="id" value="${challenge.id}">
${work ? html`<input type="hidden" name="work" value="">` : null}
${form === 'image' ? letters(media, other) : sounds(media, challenge.choices ?? [])}
<button>Enter</button>
${work ? html`<p id="work-status" class="second" role="status">So many ask at the moment that your browser computes something first; that takes some seconds.</p><noscript><p class="mark decision">Allow JavaScript for this page, or come back when it is quieter.</p></noscript>` : null}
</form>
</section>
<p><a href="${doorPaths.humanTest}?form=${form}">Another one</a>${other ? html` · <a href="${doorPaths.humanTest}?form=${other}">${other === 'sound' ? 'Recognise sounds instead' : 'Read letters instead'}</a>` : null}</p>
<p class="second">Each test can be answered once, within some minutes, from the address that it was set for. Passing lets you in for a while; then there is a new one.</p>`,
  });
}

function letters(media: string, other: Challenge['form'] | undefined): Html {
  return html`<img src="${media}" alt="Distorted letters to be read. ${other ? 'There is a test in sounds instead.' : 'Who cannot see them needs a password or a certificate; the administrator gives them.'}">
<label for="answer">The letters, in any case</label>
<input id="answer" name="answer" autocomplete="off" autocapitalize="characters" spellcheck="false" required maxlength="64" autofocus>`;
}

function sounds(media: string, choices: readonly string[]): Html {
  const places = Array.from({ length: soundsInARow }, (_, index) => index + 1);
  return html`<audio controls src="${media}">Your browser plays no sound.</audio>
<fieldset><legend>The sounds in the order in which you hear them</legend>
${places.map((place) => html`<label for="sound-${place}">Sound ${place}</label><select id="sound-${place}" name="answer" required><option value="">Choose</option>${choices.map((choice) => html`<option>${choice}</option>`)}</select>`)}
</fieldset>`;
}

/** A name, a password and the second step. */
export function passwordPage(): RenderedPage {
  return renderPage({
    status: 200,
    title: 'Enter with a password',
    body: html`<section>
<form method="post" action="${doorPaths.password}">
<label for="name">Name</label>
<input id="name" name="name" autocomplete="username" required maxlength="64" autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="256">
<label for="code">Code from your second device</label>
<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" required maxlength="16">
<button>Enter</button>
</form>
</section>`,
  });
}
