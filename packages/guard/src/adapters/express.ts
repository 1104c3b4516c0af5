import type { RequestHandler } from 'express'
import type { Checker, Guard } from '../guard.ts'
import type { Allowed } from '../verdict.ts'
import { metadata as metadataNode, protect as protectNode } from './node.ts'

declare global {
  namespace Express {
    interface Request {
      /** The guard's verdict; present behind `protect(guard)`. */
      auth?: Allowed
    }
  }
}

/** `app.use(protect(guard))`: denied requests are answered, allowed ones carry `req.auth`. */
export function protect(guard: Checker): RequestHandler {
  return protectNode(guard)
}

/** `app.use(metadata(guard))`, before `protect`: serves what the API says of itself (RFC 9728). */
export function metadata(guard: Pick<Guard, 'metadata'>): RequestHandler {
  return metadataNode(guard)
}
