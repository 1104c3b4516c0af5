/** Where the one script of these pages lies; `assets` is nobody's tenant. */
export const SCRIPT_PATH = '/assets/signin.js'

/**
 * The one script of these pages, for the two things that no form can do. WebAuthn: it shows the forms that need it, lets the browser answer their challenge, and posts
 * the answer. Devices: it makes the key of a browser that is registered, keeps it where it can sign and cannot be taken out (IndexedDB, one key an issuer), and signs
 * with it at each sign-in. Plain JavaScript as it is sent; where a browser cannot do the one or the other, everything else works as before.
 */
export const SCRIPT = `'use strict'
const { issuer, now } = document.currentScript.dataset
// By the server's clock, whatever the browser's says.
const ahead = Number(now) - Date.now() / 1000
const slow = (work) => Promise.race([work, new Promise((_, reject) => setTimeout(() => reject(new Error('slow')), 10000))])

const keys = (mode, ask) =>
  slow(
    new Promise((resolve, reject) => {
      const opening = indexedDB.open('caegis', 1)
      opening.onupgradeneeded = () => opening.result.createObjectStore('devices')
      opening.onerror = () => reject(opening.error)
      opening.onsuccess = () => {
        const change = opening.result.transaction('devices', mode)
        const asked = ask(change.objectStore('devices'))
        change.oncomplete = () => resolve(asked.result)
        change.onabort = () => reject(change.error)
        change.addEventListener('complete', () => opening.result.close())
      }
    }),
  )
const find = (name) => keys('readonly', (all) => all.get(name))
const keep = (name, one) => keys('readwrite', (all) => all.put(one, name))
const forget = (name) => keys('readwrite', (all) => all.delete(name))
/** Of a key that is made, and not known to be registered yet. */
const fresh = 'new ' + issuer

const bytes = (text) => new TextEncoder().encode(text)
const base64url = (data) => btoa(String.fromCharCode(...new Uint8Array(data))).replace(/[+]/g, '-').replace(/[/]/g, '_').replace(/=/g, '')
const part = (value) => base64url(bytes(JSON.stringify(value)))
async function sign(key, header, claims) {
  const iat = Math.floor(Date.now() / 1000 + ahead)
  const text = part({ alg: 'ES256', ...header }) + '.' + part({ aud: issuer, iat, exp: iat + 120, ...claims })
  return text + '.' + base64url(await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, key, bytes(text)))
}

/** What this browser proves itself with; empty where it is not registered, or cannot. */
async function prove() {
  try {
    const held = await find(issuer)
    return held ? await sign(held.key, { typ: 'device+jwt' }, { iss: held.id, sub: held.id, jti: crypto.randomUUID() }) : ''
  } catch {
    return ''
  }
}

for (const form of document.querySelectorAll('form[data-prove]')) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    form.elements.device_assertion.value = await prove()
    form.submit()
  })
}

for (const form of document.querySelectorAll('form[data-passkey]')) {
  if (!window.PublicKeyCredential?.parseRequestOptionsFromJSON) break
  form.hidden = false
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    const status = form.querySelector('[role=status]')
    status.textContent = ''
    try {
      const options = JSON.parse(form.dataset.options)
      const credential =
        form.dataset.passkey === 'create'
          ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
          : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) })
      form.elements.passkey.value = JSON.stringify(credential.toJSON())
      if (form.elements.device_assertion) form.elements.device_assertion.value = await prove()
      form.submit()
    } catch (error) {
      status.textContent =
        error.name === 'InvalidStateError' ? 'This device is registered already.' : 'That did not work, or it was cancelled. Try again.'
    }
  })
}

/** A key is this browser's once the page lists it, and no longer once a page says so. */
async function settle(register) {
  const gone = document.querySelector('[data-forget]')
  const held = await find(issuer)
  if (gone && held && (gone.dataset.forget === '' || gone.dataset.forget === held.id)) await forget(issuer)
  const listed = (one) => one && document.querySelector('[data-device="' + CSS.escape(one.id) + '"]')
  const made = await find(fresh)
  if (listed(made)) {
    await keep(issuer, made)
    await forget(fresh)
  }
  const here = listed(await find(issuer))
  if (here) here.querySelector('[data-here]').hidden = false
  if (register) register.hidden = Boolean(here)
}

const register = document.querySelector('form[data-register]')
if (issuer && window.indexedDB && window.crypto?.subtle && (register || document.querySelector('[data-forget],[data-device]'))) settle(register).catch(() => {})
register?.addEventListener('submit', async (event) => {
  event.preventDefault()
  const status = register.querySelector('[role=status]')
  status.textContent = ''
  try {
    const { privateKey: key, publicKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])
    const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', publicKey)
    // Named after the key: RFC 7638.
    const id = 'browser-' + base64url(await crypto.subtle.digest('SHA-256', bytes(JSON.stringify({ crv, kty, x, y }))))
    await keep(fresh, { id, key })
    register.elements.device_key.value = await sign(key, { typ: 'device-key+jwt', jwk: { kty, crv, x, y } }, { nonce: register.elements.csrf.value })
    register.elements.device_assertion.value = await prove()
    register.submit()
  } catch {
    status.textContent = 'This browser does not keep keys, as in a private window. It cannot be registered.'
  }
})
`
