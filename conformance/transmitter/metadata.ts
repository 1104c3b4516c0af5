import { isHttps, isObject, send } from '../http.ts'
import { keySetProblem } from '../set.ts'
import type { TransmitterModule } from './session.ts'
import { checkTls } from './tls.ts'

const SPEC = 'SSF 1.0 section 7.1'
const ENDPOINTS = [
  ...['jwks_uri', 'configuration_endpoint', 'status_endpoint', 'add_subject_endpoint', 'remove_subject_endpoint', 'verification_endpoint'],
]
const OAUTH = 'urn:ietf:rfc:6749'

export const metadataModule: TransmitterModule = {
  name: 'openid-ssf-transmitter-metadata',
  async run({ notes, metadata, under, profile, timing }) {
    const { issuer, spec_version: version, default_subjects: subjects, delivery_methods_supported: methods } = metadata
    if (notes.must(issuer !== undefined, SPEC, 'issuer is missing')) {
      notes.must(issuer === under.issuer, 'SSF 1.0 section 7.2.3', 'issuer is not the URL from which the metadata was found')
      const url = typeof issuer === 'string' ? URL.parse(issuer) : null
      notes.must(url?.protocol === 'https:' && url.search === '' && url.hash === '', SPEC, 'issuer is no https URL without query and fragment')
    }
    notes.must(version === undefined || (typeof version === 'string' && !version.includes('.')), SPEC, 'spec_version is not written with underscores')
    for (const name of ENDPOINTS) notes.must(metadata[name] === undefined || isHttps(metadata[name]), SPEC, `${name} is no https URL`)
    for (const [name, value] of Object.entries(metadata)) {
      notes.must(!Array.isArray(value) || value.length > 0, 'SSF 1.0 section 7.2', `${name} is an empty list, and should not be there`)
    }
    notes.should(subjects === undefined || subjects === 'ALL' || subjects === 'NONE', SPEC, 'default_subjects is neither ALL nor NONE')
    if (notes.should(methods !== undefined, SPEC, 'delivery_methods_supported is missing')) {
      notes.must(Array.isArray(methods) && methods.every((one) => typeof one === 'string'), SPEC, 'delivery_methods_supported is no list of texts')
    }
    checkSchemes()
    if (profile === 'caep_interop') checkInterop()
    await checkKeys()
    const origins = new Set([under.issuer, ...ENDPOINTS.map((name) => metadata[name])].filter(isHttps).map((url) => new URL(url).origin))
    for (const origin of origins) await checkTls(notes, origin, timing.request)

    function checkSchemes() {
      const schemes = metadata.authorization_schemes
      if (schemes === undefined) return
      const holds =
        Array.isArray(schemes) && schemes.every((one) => isObject(one) && typeof one.spec_urn === 'string' && one.spec_urn.startsWith('urn:'))
      notes.must(holds, 'SSF 1.0 section 7.1', 'authorization_schemes: an entry has no spec_urn that is a URN')
    }

    function checkInterop() {
      const major = typeof version === 'string' ? /^(\d+)_(\d+)$/.exec(version) : null
      notes.must(major !== null && Number(major[1]) >= 1, 'CAEP Interop section 2.3.1', 'spec_version is not 1_0 or newer')
      notes.must(methods !== undefined, 'CAEP Interop section 2.3.2', 'delivery_methods_supported is missing')
      notes.must(metadata.jwks_uri !== undefined, 'CAEP Interop section 2.3.3', 'jwks_uri is missing')
      notes.must(metadata.configuration_endpoint !== undefined, 'CAEP Interop section 2.3.4', 'configuration_endpoint is missing')
      notes.must(metadata.status_endpoint !== undefined, 'CAEP Interop section 2.3.5', 'status_endpoint is missing')
      notes.must(metadata.verification_endpoint !== undefined, 'CAEP Interop section 2.3.6', 'verification_endpoint is missing')
      const schemes = metadata.authorization_schemes
      const oauth = Array.isArray(schemes) && schemes.some((one) => isObject(one) && one.spec_urn === OAUTH)
      notes.must(oauth, 'CAEP Interop section 2.3.7', `authorization_schemes does not name ${OAUTH}`)
    }

    async function checkKeys() {
      const uri = metadata.jwks_uri
      if (!isHttps(uri)) return
      const { status, json } = await send(uri, { timeout: timing.request })
      if (!notes.must(status === 200, SPEC, `jwks_uri is answered ${status}`)) return
      const problem = keySetProblem(json)
      notes.must(problem === undefined, 'RFC 7517 section 5', `jwks_uri: ${problem}`)
      const keys = isObject(json) && Array.isArray(json.keys) ? json.keys.filter(isObject) : []
      if (profile !== 'caep_interop') return
      // The modulus, in bits; its first byte is not zero.
      const strong = keys.some((key) => key.kty === 'RSA' && typeof key.n === 'string' && Buffer.from(key.n, 'base64url').length >= 256)
      notes.must(strong, 'CAEP Interop section 2.6', 'jwks_uri shows no RSA key of 2048 bits')
    }
  },
}
