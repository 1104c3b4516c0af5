import 'reflect-metadata'
import { X509Certificate as NodeCertificate, webcrypto } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as x509 from '@peculiar/x509'

const DAY = 24 * 3600 * 1000
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

export interface Tls {
  cert: string
  key: string
  /** Path of the CA certificate that signs `cert`, for those who want to trust it. */
  caFile: string
}

/**
 * The local certificate authority and the server's certificate in `<data>/tls`, made at the first start and renewed a month before they end. MSAL speaks https only,
 * so a first try on one machine needs them. The CA's key never leaves the folder (0600).
 */
export async function localTls(data: string, now: number): Promise<Tls> {
  const folder = join(data, 'tls')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const file = (name: string) => join(folder, name)
  x509.cryptoProvider.set(webcrypto as never)
  if (!fresh(file('ca.pem'), now) || !existsSync(file('ca-key.pem'))) {
    const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
    const ca = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: serial(),
      name: 'CN=CAEgis local CA',
      notBefore: new Date(now - DAY),
      notAfter: new Date(now + 3650 * DAY),
      signingAlgorithm: ALGORITHM,
      keys: keys as never,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey as never),
      ],
    })
    writeFileSync(file('ca-key.pem'), await exportKey(keys.privateKey), { mode: 0o600 })
    writeFileSync(file('ca.pem'), ca.toString('pem'))
    writeFileSync(file('cert.pem'), '')
  }
  if (!fresh(file('cert.pem'), now) || !existsSync(file('key.pem'))) {
    const ca = new x509.X509Certificate(readFileSync(file('ca.pem'), 'utf8'))
    const signingKey = await importKey(readFileSync(file('ca-key.pem'), 'utf8'))
    const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: serial(),
      subject: 'CN=localhost',
      issuer: ca.subject,
      notBefore: new Date(now - DAY),
      // Browsers refuse longer ones.
      notAfter: new Date(now + 397 * DAY),
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey as never,
      signingKey: signingKey as never,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1']),
        new x509.SubjectAlternativeNameExtension([
          { type: 'dns', value: 'localhost' },
          { type: 'ip', value: '127.0.0.1' },
          { type: 'ip', value: '::1' },
        ]),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey as never),
        await x509.AuthorityKeyIdentifierExtension.create(ca),
      ],
    })
    writeFileSync(file('key.pem'), await exportKey(keys.privateKey), { mode: 0o600 })
    writeFileSync(file('cert.pem'), leaf.toString('pem'))
  }
  return { cert: readFileSync(file('cert.pem'), 'utf8'), key: readFileSync(file('key.pem'), 'utf8'), caFile: file('ca.pem') }
}

function fresh(file: string, now: number): boolean {
  if (!existsSync(file)) return false
  try {
    return Date.parse(new NodeCertificate(readFileSync(file)).validTo) > now + 30 * DAY
  } catch {
    return false
  }
}

function serial(): string {
  // Positive and not zero, as X.509 wants it.
  return `01${Buffer.from(webcrypto.getRandomValues(new Uint8Array(15))).toString('hex')}`
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decode(pem)[0] as ArrayBuffer, ALGORITHM, true, ['sign'])
}
