import { createHash } from 'node:crypto'
import { compileRanges, parseAddress, type RangeTable } from '@caegis/policy'
import type { Confirmation } from './confirmation.ts'
import { type GuardRequest, headerOf } from './credentials.ts'
import type { VerdictCode } from './errors.ts'
import { createProofs, type ProofOptions, type Proofs } from './proof.ts'

export interface SenderOptions extends ProofOptions {
  trustedProxies: readonly string[]
  /** In which a trusted proxy says which certificate its client has shown. */
  clientCertificateHeader: string | undefined
}

/** Whether who shows a token is who it was given to. */
export interface Senders {
  /**
   * @param shown its owner: whose share of what is remembered the proof counts for
   * @returns why not
   */
  fault(request: GuardRequest, shown: { token: string; dpop: boolean; owner: string }, bound: Confirmation | undefined): VerdictCode | undefined
  /** To be used in the next proof, where nonces are asked for. */
  nonce: Proofs['nonce']
}

const MAX_CERTIFICATE = 16_384

export function createSenders({ trustedProxies, clientCertificateHeader, ...options }: SenderOptions): Senders {
  const proofs = createProofs(options)
  const trusted = compileRanges(trustedProxies)
  const name = clientCertificateHeader?.toLowerCase()
  /** A connection keeps its certificate. */
  const shown = new WeakMap<object, string>()

  return {
    fault(request, { token, dpop, owner }, bound) {
      // As a bearer token it would be good for whoever has stolen it; and a proof for a token that asks for none proves nothing.
      if (dpop !== (bound?.jkt !== undefined)) return dpop ? 'token_unbound' : 'token_bound'
      if (bound?.x5t !== undefined && certificateOf(request) !== bound.x5t) return 'token_bound'
      return bound?.jkt === undefined ? undefined : proofs.fault(request, { token, owner }, bound.jkt)
    },
    nonce: proofs.nonce,
  }

  function certificateOf(request: GuardRequest): string | undefined {
    const { socket } = request
    if (!socket) return undefined
    // The proxy's own certificate is not its client's.
    if (name !== undefined && isTrusted(trusted, socket.remoteAddress)) return thumbprintOfText(headerOf(request, name))
    const known = shown.get(socket)
    if (known !== undefined) return known
    const raw = socket.getPeerCertificate?.()?.raw
    if (!raw) return undefined
    const print = createHash('sha256').update(raw).digest('base64url')
    shown.set(socket, print)
    return print
  }
}

function isTrusted(trusted: RangeTable, peer: string | undefined): boolean {
  const address = peer === undefined ? undefined : parseAddress(peer)
  return address !== undefined && trusted.has(address)
}

/** A certificate as proxies write it: PEM (escaped for a URL by nginx, without its lines by Traefik), or base64 of DER (Caddy; between colons in RFC 9440). */
function thumbprintOfText(text: string | undefined): string | undefined {
  if (text === undefined || text.length > MAX_CERTIFICATE) return undefined
  let plain = text
  try {
    if (text.includes('%')) plain = decodeURIComponent(text)
  } catch {
    return undefined
  }
  const base64 = plain.replace(/-----(?:BEGIN|END) CERTIFICATE-----|[\s:]/g, '')
  if (base64 === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined
  return createHash('sha256').update(Buffer.from(base64, 'base64')).digest('base64url')
}
