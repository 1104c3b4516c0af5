import { errors, type KoaContextWithOIDC } from 'oidc-provider'
// @ts-expect-error: what the library's own grants prove keys with; it has no types, and grants of ours need the same.
import * as proofs from 'oidc-provider/lib/helpers/validate_dpop.js'

interface Proof {
  thumbprint: string
  jti: string
}

/**
 * The thumbprint of the key that the request proves to have (RFC 9449 section 5), for a grant of ours: the library does the same in each of its own. A proof is good
 * once, and a client that is registered for bound tokens must bring one.
 */
export async function provenKey(ctx: KoaContextWithOIDC): Promise<string | undefined> {
  const { provider, client } = ctx.oidc
  const proof = (await proofs.default(provider, ctx)) as Proof | undefined
  if (!proof && client?.dpopBoundAccessTokens) throw new errors.InvalidGrant('DPoP proof JWT not provided')
  await proofs.checkDpopReplay(provider, ctx, proof, client?.clientId)
  return proof?.thumbprint
}

/** Whether a grant was refused for want of a proof that was not used before; the library calls that a bad grant, which would make people sign in again. */
export function lacksProof({ error_detail: detail }: errors.OIDCProviderError): boolean {
  return typeof detail === 'string' && detail.includes('DPoP proof JWT')
}
