import { createHash, createSign, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'

export interface Lies {
  origin?: string
  rpId?: string
  userVerified?: boolean
  counter?: number
  userHandle?: string
  challenge?: string
  type?: string
  crossOrigin?: boolean
  /** A signature of another key. */
  forged?: boolean
}

const b64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')
const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest()

/** A passkey in software, whose key the test holds: it can sign whatever is wrong. */
export function createAuthenticator(site: { origin: string; rpId: string }) {
  const id = randomBytes(16)
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const other: KeyObject = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  let counter = 0
  let userHandle = ''

  const clientData = (type: string, challenge: string, lies: Lies) =>
    Buffer.from(
      JSON.stringify({
        type: lies.type ?? type,
        challenge: lies.challenge ?? challenge,
        origin: lies.origin ?? site.origin,
        crossOrigin: lies.crossOrigin ?? false,
      }),
    )
  const authenticatorData = (lies: Lies, more: Uint8Array, flags = 0) => {
    counter = lies.counter ?? counter + 1
    const count = Buffer.alloc(4)
    count.writeUInt32BE(counter)
    const user = 0x01 | (lies.userVerified === false ? 0 : 0x04)
    return Buffer.concat([sha256(lies.rpId ?? site.rpId), Buffer.from([user | flags]), count, more])
  }

  return {
    /** Answers what the account page offers (WebAuthn level 3 section 6.5: attestation `none`). */
    create(options: { challenge: string; user: { id: string } }, lies: Lies = {}): string {
      userHandle = options.user.id
      const { x, y } = publicKey.export({ format: 'jwk' }) as { x: string; y: string }
      const coordinate = (text: string) => Buffer.from(text, 'base64url')
      // COSE: kty EC2, alg ES256, crv P-256, x, y.
      const key = Buffer.concat([Buffer.from('a5010203262001215820', 'hex'), coordinate(x), Buffer.from('225820', 'hex'), coordinate(y)])
      const data = authenticatorData(lies, Buffer.concat([Buffer.alloc(16), Buffer.from([0, id.length]), id, key]), 0x40)
      const object = Buffer.concat([
        Buffer.from('a363', 'hex'),
        Buffer.from('fmt'),
        Buffer.from('64', 'hex'),
        Buffer.from('none'),
        Buffer.from('67', 'hex'),
        Buffer.from('attStmt'),
        Buffer.from('a068', 'hex'),
        Buffer.from('authData'),
        Buffer.from([0x58, data.length]),
        data,
      ])
      const response = {
        clientDataJSON: b64(clientData('webauthn.create', options.challenge, lies)),
        attestationObject: b64(object),
        transports: ['usb'],
      }
      return JSON.stringify({
        id: b64(id),
        rawId: b64(id),
        type: 'public-key',
        authenticatorAttachment: 'cross-platform',
        clientExtensionResults: {},
        response,
      })
    },
    /** Answers what a sign-in page asks. */
    get(options: { challenge: string }, lies: Lies = {}): string {
      const client = clientData('webauthn.get', options.challenge, lies)
      const data = authenticatorData(lies, Buffer.alloc(0))
      const signature = createSign('sha256')
        .update(Buffer.concat([data, sha256(client)]))
        .sign(lies.forged ? other : privateKey)
      const response = {
        ...{ clientDataJSON: b64(client), authenticatorData: b64(data), signature: b64(signature) },
        userHandle: lies.userHandle === undefined ? userHandle : b64(Buffer.from(lies.userHandle)),
      }
      return JSON.stringify({
        id: b64(id),
        rawId: b64(id),
        type: 'public-key',
        authenticatorAttachment: 'cross-platform',
        clientExtensionResults: {},
        response,
      })
    },
  }
}

/** What a page hands to its script. */
export function optionsOf(text: string): { challenge: string; user: { id: string }; rpId?: string; allowCredentials?: unknown[] } {
  const options = text.match(/data-options="([^"]*)"/)?.[1] ?? 'null'
  return JSON.parse(options.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code))))
}
