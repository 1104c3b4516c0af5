import type { RequestHandler } from 'express'
import type { Checker } from '../guard.ts'
import type { Allowed } from '../verdict.ts'
import { protect as protectNode } from './node.ts'

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
