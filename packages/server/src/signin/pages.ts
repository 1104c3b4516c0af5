import type { Device } from '../directory/devices.ts'
import type { FactorSummary } from '../directory/factors.ts'
import type { Attempt } from '../issuer/attempt.ts'
import { escapeHtml, page } from '../issuer/pages.ts'
import type { Tenant } from '../issuer/tenant.ts'
import type { Ceremony } from './passkey.ts'
import { SCRIPT_PATH } from './script.ts'

/** What the script knows: for whom a browser's key signs, and what time it is. */
const scriptTag = (tenant?: Tenant, now = 0) =>
  `<script src="${SCRIPT_PATH}"${tenant ? ` data-issuer="${escapeHtml(tenant.issuer)}" data-now="${Math.floor(now)}"` : ''} defer></script>`

/** What the script fills in where this browser is registered as a device. */
const PROOF = '<input type="hidden" name="device_assertion" value="">'

/** A form that only the page's script can fill in: without it, it stays hidden. */
function passkeyForm(kind: 'get' | 'create', csrf: string, { options, sealed }: Ceremony, button: string, more = ''): string {
  return `<form method="post" data-passkey="${kind}" data-options="${escapeHtml(options)}" hidden>${hidden(csrf)}<input type="hidden" name="challenge" value="${escapeHtml(sealed)}"><input type="hidden" name="passkey" value="">${more}<button class="quiet">${button}</button><p role="status"></p></form>`
}

export interface SignInPage {
  application: string
  username: string
  /** Proves that the form came from this server's own page. */
  csrf: string
  passkey: Ceremony
  /** Seconds. */
  now: number
  /** What went wrong with the last try. */
  wrong?: string
}

export function signInPage(tenant: Tenant, { application, username, csrf, passkey, now, wrong }: SignInPage): string {
  return page(
    'Sign in',
    tenant,
    `<h1>Sign in to ${escapeHtml(tenant.displayName)}</h1><p>to go on to ${escapeHtml(application)}</p>${alert(wrong)}<form method="post" data-prove>${hidden(csrf)}${PROOF}<label for="username">User name</label><input id="username" name="username" autocomplete="username" autocapitalize="none" spellcheck="false" required maxlength="320" value="${escapeHtml(username)}"${
      username ? '' : ' autofocus'
    }><label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required maxlength="256"${
      username ? ' autofocus' : ''
    }><button>Sign in</button></form>${passkeyForm('get', csrf, passkey, 'Use a passkey', PROOF)}${scriptTag(tenant, now)}`,
  )
}

export function pickerPage(
  tenant: Tenant,
  { application, csrf, accounts }: { application: string; csrf: string; accounts: readonly string[] },
): string {
  const button = (name: string, text: string) => `<button class="quiet" name="pick" value="${escapeHtml(name)}">${escapeHtml(text)}</button>`
  return page(
    'Choose an account',
    tenant,
    `<h1>Choose an account</h1><p>to go on to ${escapeHtml(application)}</p><form method="post">${hidden(csrf)}${accounts.map((name) => button(name, name)).join('')}${button('', 'Use another account')}</form>`,
  )
}

export interface SecondPage {
  application: string
  csrf: string
  /** Whether there is an authenticator app; recovery codes there always are. */
  app: boolean
  /** Where one is registered. */
  passkey?: Ceremony
  wrong?: string
}

export function codePage(tenant: Tenant, { application, csrf, app, passkey, wrong }: SecondPage): string {
  const what = app
    ? 'Your authenticator app shows it. Without the app, use a recovery code.'
    : 'Your device asks for its lock. Without the passkey, enter a recovery code.'
  return page(
    'Confirm that it is you',
    tenant,
    `<h1>${app ? 'Enter a code' : 'Use your passkey'}</h1><p>${what} You go on to ${escapeHtml(application)}.</p>${alert(wrong)}${
      passkey ? passkeyForm('get', csrf, passkey, 'Use a passkey') + scriptTag() : ''
    }<form method="post">${hidden(csrf)}${codeField(!passkey || app)}<button>Continue</button></form><form method="post">${hidden(csrf)}<button class="quiet" name="restart" value="yes">Use another account</button></form>`,
  )
}

export interface ConsentPage {
  application: string
  username: string
  /** Where an answer goes. */
  target: string
  permissions: readonly { text: string; name?: string }[]
  csrf: string
}

export function consentPage(tenant: Tenant, { application, username, target, permissions, csrf }: ConsentPage): string {
  const items = permissions.map(
    ({ text, name }) => `<li>${escapeHtml(text)}${name === undefined ? '' : `<br><small>${escapeHtml(name)}</small>`}</li>`,
  )
  return page(
    'Permissions requested',
    tenant,
    `<h1>${escapeHtml(application)} asks for permission</h1><p>Published by ${escapeHtml(tenant.displayName)}${target === '' ? '' : `, at ${escapeHtml(target)}`}. You are ${escapeHtml(username)}.</p><h2>It wants to</h2><ul>${items.join('')}</ul><p>Accept only if you trust it. An administrator can withdraw this at any time.</p><form method="post">${hidden(csrf)}<button name="answer" value="accept">Accept</button><button class="quiet" name="answer" value="cancel">Cancel</button></form>`,
  )
}

export interface AccountPage {
  csrf: string
  name: string
  factors: readonly FactorSummary[]
  codesLeft: number
  /** For a passkey that is to be added. */
  passkey: Ceremony
  devices: readonly Device[]
  /** What this browser is called when it is registered; absent: that needs a newer sign-in. */
  browser?: string
  /** Id of a device that was just removed. */
  gone?: string
  /** Seconds. */
  now: number
  done?: string
  wrong?: string
}

export function accountPage(tenant: Tenant, shown: AccountPage): string {
  const { csrf, name, factors, codesLeft, passkey, done, wrong, gone, now } = shown
  const button = (action: string, text: string, quiet = true, more = '') =>
    `<form method="post">${hidden(csrf)}${more}<button${quiet ? ' class="quiet"' : ''} name="action" value="${action}">${text}</button></form>`
  const id = (one: FactorSummary) => `<input type="hidden" name="id" value="${escapeHtml(one.id)}">`
  const app = factors.find(({ kind }) => kind === 'totp')
  const passkeys = factors.filter(({ kind }) => kind === 'passkey')
  const parts = [
    `<h1>Your account</h1><p>${escapeHtml(name)}</p>${done ? `<p role="status">${escapeHtml(done)}</p>` : ''}${alert(wrong)}`,
    `<h2>Password</h2>${button('password', 'Change the password')}`,
    '<h2>Passkeys</h2>',
    passkeys.length > 0
      ? passkeys
          .map(
            (one) =>
              `<p><strong>${escapeHtml(one.name)}</strong><br>${dates(one)}</p>${button('remove-passkey', 'Remove this passkey', true, id(one))}`,
          )
          .join('')
      : '<p>None. A passkey signs you in with the lock of your device, without a password.</p>',
    passkeyForm(
      'create',
      csrf,
      passkey,
      'Add a passkey',
      '<input type="hidden" name="action" value="add-passkey"><label for="name">Name of the new passkey</label><input id="name" name="name" required maxlength="64" value="My passkey">',
    ),
    '<h2>Authenticator app</h2>',
    app
      ? `<p>Registered: each sign-in with the password asks for more.<br>${dates(app)}</p>${button('begin', 'Set up another app instead')}${button('remove', 'Remove the app')}`
      : `<p>Not set up${passkeys.length > 0 ? '.' : ': your password alone signs you in.'}</p>${button('begin', 'Set up an authenticator app', passkeys.length > 0)}`,
    app || passkeys.length > 0
      ? `<h2>Recovery codes</h2><p>${codesLeft} left. New ones replace them.</p>${button('codes', 'Make new recovery codes')}`
      : '',
    devicesPart(shown),
    gone === undefined ? '' : `<div data-forget="${escapeHtml(gone)}"></div>`,
    scriptTag(tenant, now),
  ]
  return page('Your account', tenant, parts.join(''))
}

const day = (seconds: number) => new Date(seconds * 1000).toISOString().slice(0, 10)

/** What somebody signs in from. Which of them this browser is, the script knows. */
function devicesPart({ csrf, devices, browser }: AccountPage): string {
  const form = (action: string, id: string, content: string) =>
    `<form method="post">${hidden(csrf)}<input type="hidden" name="id" value="${escapeHtml(id)}">${content}<button class="quiet" name="action" value="${action}">`
  const items = devices.map((one, index) => {
    const lines = [
      one.registeredFrom === null
        ? 'Registered by your organization'
        : `Added ${day(one.createdAt)}${one.registeredFrom && ` from ${one.registeredFrom}`}`,
      one.lastUsedAt === 0 ? 'Not used yet' : `Last used ${day(one.lastUsedAt)}`,
      ...(one.enabled ? (one.compliant === null ? [] : [one.compliant ? 'Compliant' : 'Not compliant']) : ['Disabled by an administrator']),
    ]
    const field = `<label for="device-${index}">Name</label><input id="device-${index}" name="name" required maxlength="64" value="${escapeHtml(one.displayName)}">`
    const edit =
      one.registeredFrom === null
        ? ''
        : `<details><summary>Change</summary>${form('rename-device', one.id, field)}Rename this device</button></form>${form('remove-device', one.id, '')}Remove this device</button></form></details>`
    return `<div data-device="${escapeHtml(one.id)}"><p><strong>${escapeHtml(one.displayName)}</strong><span data-here hidden> (this browser)</span><br>${lines.map(escapeHtml).join('<br>')}</p>${edit}</div>`
  })
  const add =
    browser === undefined
      ? `<form method="post">${hidden(csrf)}<button class="quiet" name="action" value="sign-in">Sign in again to register this browser</button></form>`
      : `<form method="post" data-register hidden>${hidden(csrf)}${PROOF}<input type="hidden" name="device_key" value=""><input type="hidden" name="action" value="add-device"><label for="device">Name of this browser</label><input id="device" name="name" required maxlength="64" value="${escapeHtml(browser)}"><button class="quiet">Register this browser</button><p role="status"></p></form><noscript><p>To register this browser, allow JavaScript on this page.</p></noscript>`
  const none = '<p>None. A browser that is registered proves at each sign-in that it is the same one.</p>'
  return `<h2>Devices</h2>${items.length > 0 ? items.join('') : none}${add}`
}

const LOST: Record<NonNullable<Attempt['deviceRefused']>, { title: string; text: string }> = {
  'device-missing': {
    title: 'This browser is not registered any more',
    text: 'It was removed from the devices. You sign in without it. You can register it again on your account page.',
  },
  'device-disabled': {
    title: 'This browser is disabled',
    text: 'An administrator disabled it as a device. You sign in without it, which your organization may not allow everywhere.',
  },
  'device-unproved': {
    title: 'This browser could not prove which it is',
    text: 'You sign in without it. If this comes again, remove it on your account page and register it anew.',
  },
}

/** After a first factor: the browser holds a key that is good for nothing now. */
export function lostDevicePage(
  tenant: Tenant,
  { why, next, now }: { why: NonNullable<Attempt['deviceRefused']>; next: string; now: number },
): string {
  const { title, text } = LOST[why]
  const forget = why === 'device-missing' ? `<div data-forget=""></div>${scriptTag(tenant, now)}` : ''
  return page(title, tenant, `<h1>${title}</h1><p>${text}</p>${forget}<p><a href="${escapeHtml(next)}">Go on without it</a></p>`)
}

function dates({ createdAt, lastUsedAt }: FactorSummary): string {
  return `Added ${day(createdAt)}<br>${lastUsedAt === null ? 'Not used yet' : `Last used ${day(lastUsedAt)}`}`
}

export interface PasswordPage {
  username: string
  csrf: string
  /** On the account page; in a sign-in it was proved a moment ago. */
  asksOld: boolean
  /** Why, when the person did not ask for it. */
  reason?: string
  wrong?: string
}

export function passwordPage(tenant: Tenant, { username, csrf, asksOld, reason, wrong }: PasswordPage): string {
  const field = (name: string, label: string, complete: 'current-password' | 'new-password', focus: boolean) =>
    `<label for="${name}">${label}</label><input id="${name}" name="${name}" type="password" autocomplete="${complete}" required maxlength="256"${
      complete === 'new-password' ? ' minlength="8"' : ''
    }${focus ? ' autofocus' : ''}>`
  return page(
    'Change the password',
    tenant,
    `<h1>Change the password</h1><p>${escapeHtml(reason ?? 'You stay signed in here, and are signed out everywhere else.')}</p>${alert(wrong)}<form method="post">${hidden(csrf)}<input type="text" name="account" autocomplete="username" value="${escapeHtml(username)}" readonly hidden>${
      asksOld ? field('old', 'Old password', 'current-password', true) : ''
    }${field('new', 'New password, at least 8 characters', 'new-password', !asksOld)}${field('again', 'New password once more', 'new-password', false)}<button name="action" value="new-password">Change the password</button></form>${
      asksOld ? `<form method="post">${hidden(csrf)}<button class="quiet" name="action" value="show">Cancel</button></form>` : ''
    }`,
  )
}

export function setupPage(
  tenant: Tenant,
  { csrf, setup, svg, secret, why, wrong }: { csrf: string; setup: string; svg: string; secret: string; why?: string; wrong?: string },
): string {
  return page(
    'Set up an authenticator app',
    tenant,
    `<h1>Set up an authenticator app</h1>${why ? `<p>${escapeHtml(why)}</p>` : ''}<p>Scan this with the app, or type the key into it.</p><div role="img" aria-label="QR code">${svg}</div><p class="key">${escapeHtml(secret.match(/.{1,4}/g)?.join(' ') ?? '')}</p>${alert(wrong)}<form method="post">${hidden(csrf)}<input type="hidden" name="setup" value="${escapeHtml(setup)}"><input type="hidden" name="action" value="confirm">${codeField()}<button>Confirm</button></form><form method="post">${hidden(csrf)}<button class="quiet" name="action" value="show">Cancel</button></form>`,
  )
}

/** Where a policy stands in the way: what it is, what to do about it, and what to show to an administrator. */
export function stopPage(
  tenant: Tenant,
  {
    application,
    csrf,
    what,
    help,
    code,
    txn,
    at,
  }: { application: string; csrf: string; what: string; help: string; code: number; txn: string; at: string },
): string {
  return page(
    'You cannot go on',
    tenant,
    `<h1>You cannot get to ${escapeHtml(application)} now</h1><p>${escapeHtml(what)}</p><p>${escapeHtml(help)}</p><h2>For your administrator</h2><p>Number ${code}, ${escapeHtml(at)}<br><span class="key">${escapeHtml(txn)}</span></p><form method="post">${hidden(csrf)}<button name="leave" value="${code}">Back to the application</button></form><form method="post">${hidden(csrf)}<button class="quiet" name="restart" value="yes">Use another account</button></form>`,
  )
}

export function codesPage(tenant: Tenant, codes: readonly string[], next = { href: 'account', text: 'Back to your account' }): string {
  return page(
    'Your recovery codes',
    tenant,
    `<h1>Your recovery codes</h1><p>Keep them where you find them without your phone. Each is good once, and they are not shown again.</p><ul class="codes">${codes.map((code) => `<li>${code}</li>`).join('')}</ul><p><a href="${escapeHtml(next.href)}">${escapeHtml(next.text)}</a></p>`,
  )
}

function codeField(focus = true): string {
  return `<label for="code">Code</label><input id="code" name="code" autocomplete="one-time-code" inputmode="text" autocapitalize="characters" spellcheck="false" required maxlength="32"${focus ? ' autofocus' : ''}>`
}

function alert(wrong: string | undefined): string {
  return wrong ? `<div class="wrong" role="alert">${escapeHtml(wrong)}</div>` : ''
}

function hidden(csrf: string): string {
  return `<input type="hidden" name="csrf" value="${escapeHtml(csrf)}">`
}
