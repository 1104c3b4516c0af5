import type { Adapter, AdapterPayload } from 'oidc-provider'
import type { Platform } from '../access/signals.ts'
import { findApplication } from '../directory/application.ts'
import { networkOf } from '../risk/signal.ts'
import type { Artifacts, FoundArtifact } from '../store/artifacts.ts'
import type { Store } from '../store/store.ts'
import { currentAttempt, note, once } from './attempt.ts'
import { toClient } from './client.ts'
import { readSignInRisk } from './sign-in-risk.ts'

/** Within this many seconds a spent refresh token leads its own client to the same successor; after it, it is a theft. */
export const REFRESH_GRACE = 30

/** What leads from the page of a sign-in to the token that came of it: it remembers the record of the one for the other. */
const OF_SIGN_IN = new Set(['Interaction', 'AuthorizationCode'])
/** What a grant presents: it tells whose it is. */
const OF_GRANT = new Set(['AuthorizationCode', 'RefreshToken', 'DeviceCode'])

/** A sign-in that waits for its next step; see signin/visit.ts. */
export const HALF = 'HalfSignIn'
/** What remembers the device that it was given to. */
const OF_DEVICE = new Set(['Session', 'Interaction', HALF, 'AuthorizationCode', 'RefreshToken', 'AccessToken'])
/** What stands for a sign-in that is under way. */
const UNDER_WAY = new Set(['Interaction', HALF])

/** What remembers on what it was given out, as its client said. */
const OF_PLATFORM = new Set(['Session', 'Interaction', 'AuthorizationCode', 'RefreshToken', 'DeviceCode'])
/** What remembers what was thought of the sign-in that it came of. */
const OF_RISK = OF_PLATFORM
/** What remembers the authentication contexts that were asked for. */
const OF_CONTEXTS = new Set(['AuthorizationCode', 'RefreshToken', 'DeviceCode'])

/** For the models that the provider saves without a lifetime. */
const DEFAULT_TTL = 3600

/** What oidc-provider stores through: reads go to the store and are noted, writes stay in the attempt until the fence lets them through. */
export function createAdapter(store: Store, tenant: string, artifacts: Artifacts) {
  const now = () => Math.floor(store.clock())

  return (model: string): Adapter => {
    if (model === 'Client') return clientAdapter(store, tenant)
    const key = (id: string) => `${model} ${id}`

    const seen = (found: FoundArtifact | undefined): AdapterPayload | undefined => {
      if (!found) return undefined
      const attempt = currentAttempt()
      const written = attempt.writes.get(key(found.id))
      if (written) return (written.artifact?.payload as AdapterPayload | undefined) ?? undefined
      note(attempt, { table: 'artifact', model, id: found.id }, found.version)
      recall(found)
      return found.payload as AdapterPayload
    }

    return {
      async find(id) {
        const attempt = currentAttempt()
        if (model === 'ReplayDetection' && attempt.repeatable) return undefined
        const written = attempt.writes.get(key(id))
        if (written) return (written.artifact?.payload as AdapterPayload | undefined) ?? undefined
        const found = await artifacts.find(store.db, model, id, now())
        note(attempt, { table: 'artifact', model, id }, found?.version ?? 0)
        if (found) recall(found)
        if (found && model === 'AuthorizationCode' && found.payload.consumed !== undefined && typeof found.payload.sessionUid === 'string')
          attempt.replayed = { sid: found.payload.sessionUid }
        if (found && model === 'RefreshToken' && found.payload.consumed !== undefined) return spent(found)
        return found?.payload as AdapterPayload | undefined
      },
      findByUid: async (uid) => seen(await artifacts.findByUid(store.db, model, uid, now())),
      findByUserCode: async (code) => seen(await artifacts.findByUserCode(store.db, model, code, now())),
      async upsert(id, payload, expiresIn) {
        const attempt = currentAttempt()
        const artifact = { model, id, payload: { ...payload }, expiresAt: now() + (expiresIn ?? DEFAULT_TTL) }
        if (model === 'RefreshToken') linkSuccessor(id)
        if (OF_DEVICE.has(model)) keepDevice(artifact.payload)
        if (OF_PLATFORM.has(model) && attempt.platform !== undefined) artifact.payload.platform = attempt.platform
        if (OF_RISK.has(model) && attempt.signInRisk !== undefined) artifact.payload.risk = attempt.signInRisk
        if (OF_CONTEXTS.has(model) && attempt.contexts !== undefined) artifact.payload.contexts = attempt.contexts
        if (OF_SIGN_IN.has(model)) remember(artifact.payload)
        if (model === 'AccessToken') artifact.payload.iat = asMint(payload)
        attempt.writes.set(key(id), { model, id, artifact })
      },
      async consume(id) {
        const attempt = currentAttempt()
        const written = attempt.writes.get(key(id))?.artifact ?? (await artifacts.find(store.db, model, id, now()))
        if (!written) return
        const { expiresAt } = written
        const payload = { ...written.payload, consumed: now(), consumedFrom: networkOf(attempt.address) }
        attempt.writes.set(key(id), { model, id, artifact: { model, id, expiresAt, payload } })
      },
      async destroy(id) {
        currentAttempt().writes.set(key(id), { model, id, artifact: null })
      },
      async revokeByGrantId(grantId) {
        currentAttempt().removedGrants.add(grantId)
      },
    }

    function recall({ payload }: FoundArtifact): void {
      const { platform, contexts } = payload
      const attempt = currentAttempt()
      recallTrace(payload)
      if (OF_PLATFORM.has(model) && typeof platform === 'string') attempt.platform ??= platform as Platform
      if (OF_CONTEXTS.has(model) && Array.isArray(contexts)) attempt.contexts ??= contexts
      const risk = OF_RISK.has(model) ? readSignInRisk(payload.risk) : undefined
      // What is half done knows better than the session from before.
      if (risk && (attempt.signInRisk === undefined || model === 'Interaction')) attempt.signInRisk = risk
      if (OF_DEVICE.has(model)) recallDevice(payload)
    }

    /** Whatever the request shows brings its device along; what the request proves counts before it, and so does a sign-in that is under way. */
    function recallDevice({ device, result }: Record<string, unknown>): void {
      const attempt = currentAttempt()
      const known = typeof device === 'string' ? device : undefined
      const login = model === 'Interaction' && (result as { login?: object } | undefined)?.login !== undefined
      if (login) attempt.signedIn = true
      if (model === 'Session' && known !== undefined) attempt.sessionDevice = known
      if (known !== undefined && attempt.device !== undefined && attempt.device !== known) attempt.otherDevice = true
      if (attempt.deviceSettled) return
      // Somebody who has just signed in did so from what the sign-in says, and from no device if it says none.
      const isSignIn = model === HALF || (model === 'Interaction' && (known !== undefined || login))
      if (!isSignIn) {
        if (known !== undefined) attempt.device ??= known
        return
      }
      attempt.deviceSettled = true
      if (known === undefined) delete attempt.device
      else attempt.device = known
    }

    /** A sign-in that is under way keeps what it was made from, and not what the browser's session was given to: that may be a copy. A session changes hands by a sign-in only. */
    function keepDevice(payload: Record<string, unknown>): void {
      const { device: now, deviceSettled, sessionDevice, signedIn } = currentAttempt()
      const device = model === 'Session' && !signedIn ? (sessionDevice ?? now) : now
      if (device !== undefined && (deviceSettled || !UNDER_WAY.has(model))) payload.device = device
      else delete payload.device
    }

    function remember(payload: Record<string, unknown>): void {
      const attempt = currentAttempt()
      const { trace, signIn } = attempt
      const begun = signIn?.code === 0 ? signIn.id : trace.begun
      if (begun !== undefined) payload.signIn = begun
      if (model === 'Interaction') payload.correlation = trace.correlation
      else if (begun !== undefined && typeof payload.sessionUid === 'string') attempt.completes = { id: begun, more: { session: payload.sessionUid } }
    }

    function recallTrace({ signIn, correlation, accountId, sessionUid }: Record<string, unknown>): void {
      const { trace } = currentAttempt()
      if (OF_SIGN_IN.has(model) && typeof signIn === 'string') trace.begun = signIn
      if (model === 'Interaction' && typeof correlation === 'string') trace.correlation = correlation
      if (!OF_GRANT.has(model)) return
      if (typeof accountId === 'string') trace.user ??= { id: accountId }
      if (typeof sessionUid === 'string') trace.session = sessionUid
    }

    /** The opaque token for `userinfo` is the one access token that is stored; the fence must know of it as of any other, and it bears the attempt's instant. */
    function asMint({ accountId, clientId, sessionUid }: AdapterPayload): number {
      const { iat, mints, device } = currentAttempt()
      const owner = { ...(accountId === undefined ? {} : { user: accountId }), ...(sessionUid === undefined ? {} : { sid: sessionUid }) }
      // It is no token that a guard could see: no cutoff has to be published for its sake.
      mints.push({ iat, exp: 0, appId: clientId ?? '', ...owner, ...(device === undefined ? {} : { device }) })
      return iat
    }

    /** A spent refresh token: inside the grace it leads to its successor, outside it betrays a thief or a victim, and the session ends. */
    function spent(found: FoundArtifact): AdapterPayload | undefined {
      const attempt = currentAttempt()
      const { consumed, consumedFrom = '', successor, sessionUid, accountId, jkt } = found.payload as unknown as Spent
      const grace = successor !== undefined && now() - consumed <= REFRESH_GRACE
      if (sessionUid && accountId)
        attempt.replay = { user: accountId, sid: sessionUid, at: consumed, network: consumedFrom, grace, key: jkt !== undefined }
      if (grace) {
        attempt.restartWith = successor
        return undefined
      }
      if (sessionUid) attempt.reused = { sid: sessionUid }
      return found.payload as AdapterPayload
    }

    /** The refresh token that this attempt has just spent remembers the one that takes its place; both lie sealed in the store. */
    function linkSuccessor(id: string): void {
      for (const { model: other, artifact } of currentAttempt().writes.values()) {
        if (other === 'RefreshToken' && artifact?.payload.consumed !== undefined && artifact.payload.successor === undefined) {
          artifact.payload.successor = id
        }
      }
    }
  }
}

interface Spent {
  consumed: number
  /** The network. */
  consumedFrom?: string
  successor?: string
  sessionUid?: string
  accountId?: string
  jkt?: string
}

/** Clients are the tenant's applications, read at every request: an application that was just disabled is unknown at once. */
function clientAdapter(store: Store, tenant: string): Adapter {
  const refuse = async () => {
    throw new Error('applications are edited through the directory')
  }
  return {
    async find(appId) {
      const app = await once(`application ${appId}`, () => findApplication(store.db, tenant, appId))
      note(currentAttempt(), { table: 'app', id: appId }, app?.version ?? 0)
      if (app) currentAttempt().trace.app ??= { id: app.appId, object: app.id, name: app.displayName, type: app.type }
      return app?.enabled ? toClient(app, currentAttempt().assertion === true, Math.floor(store.clock())) : undefined
    },
    findByUid: async () => undefined,
    findByUserCode: async () => undefined,
    upsert: refuse,
    consume: refuse,
    destroy: refuse,
    revokeByGrantId: refuse,
  }
}
