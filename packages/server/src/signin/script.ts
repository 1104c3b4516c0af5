/** Where the one script of these pages lies; `assets` is nobody's tenant. */
export const SCRIPT_PATH = '/assets/passkey.js'

/**
 * The one script of these pages: without it there is no WebAuthn. It shows the forms that need it, lets the browser answer their challenge, and posts the answer.
 * Plain JavaScript as it is sent; where a browser has no passkeys, everything else works as before.
 */
export const SCRIPT = `'use strict'
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
      form.submit()
    } catch (error) {
      status.textContent =
        error.name === 'InvalidStateError' ? 'This device is registered already.' : 'That did not work, or it was cancelled. Try again.'
    }
  })
}
`
