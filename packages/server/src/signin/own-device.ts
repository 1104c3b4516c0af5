import { CaegisError } from '@caegis/protocol'
import type { FastifyRequest } from 'fastify'
import { type Platform, platformOf } from '../access/signals.ts'
import { currentAttempt } from '../issuer/attempt.ts'
import { admitDevice, readNewKey } from '../issuer/device.ts'
import type { Issuer } from '../issuer/issuer.ts'
import type { Store } from '../store/store.ts'

/** Seconds: what people sign in from is registered by who has just signed in, not by who found the page open. */
export const JUST_NOW = 10 * 60
const MAX_NAME = 64

/** Whose devices they are, as the account page knows them. */
interface Owner {
  id: string
  proof: { at: number; sid: string }
  address: string
  /** What it is called where the form gives no name. */
  browser: string
}

/** What became of it; `gone`: the browser forgets the key of that device. */
export type Done = { done: string; gone?: string } | { wrong: string }

/** What people do with their own devices on the account page. */
export function createOwnDevices(store: Store) {
  const actor = ({ id: user, proof, address }: Owner) => ({ kind: 'holder', user, proof, address }) as const

  /** What the key that this browser holds already is good for. */
  async function standingOf({ tenant, attempt }: Issuer, address: string, given: string | null): Promise<'registered' | 'disabled' | 'none'> {
    if (!given) return 'none'
    return attempt(address, async () => {
      await admitDevice(store, tenant, given)
      const { device, deviceRefused } = currentAttempt()
      return device === undefined ? (deviceRefused === 'device-disabled' ? 'disabled' : 'none') : 'registered'
    })
  }

  return {
    /** The browser has just made a key, and signed with it for this very page: nobody's else can be registered here. */
    async add(issuer: Issuer, owner: Owner, form: URLSearchParams): Promise<Done> {
      const { tenant } = issuer
      const asked = { audience: tenant.issuer, nonce: form.get('csrf') ?? '', now: store.clock() }
      const key = await readNewKey(form.get('device_key') ?? '', asked)
      if (!key) return { wrong: 'This browser could not be registered. Try again.' }
      const before = await standingOf(issuer, owner.address, form.get('device_assertion'))
      if (before === 'registered')
        return { wrong: 'Somebody else who uses this browser registered it already. It stands for both of you when you sign in.' }
      if (before === 'disabled') return { wrong: 'An administrator disabled this browser. Ask them.' }
      const displayName = nameIn(form) || owner.browser
      try {
        await tenant.devices.register(actor(owner), { ...key, displayName, from: owner.address })
      } catch (error) {
        if (!(error instanceof CaegisError) || !(error.code in REFUSED)) throw error
        return { wrong: REFUSED[error.code as keyof typeof REFUSED] }
      }
      return { done: 'This browser was registered. It proves itself from your next sign-in on.' }
    },

    async rename({ tenant }: Issuer, owner: Owner, form: URLSearchParams): Promise<Done> {
      const displayName = nameIn(form)
      if (displayName === '') return { wrong: 'A device needs a name.' }
      return known(async () => {
        await tenant.devices.update(actor(owner), idIn(form), { displayName })
        return { done: 'The device was renamed.' }
      })
    },

    /** What was given to it ends with it. */
    remove: ({ tenant }: Issuer, owner: Owner, form: URLSearchParams): Promise<Done> =>
      known(async () => {
        const gone = idIn(form)
        await tenant.devices.remove(actor(owner), gone)
        return { done: 'The device was removed. Whatever was signed in from it is signed out.', gone }
      }),
  }
}

const REFUSED = {
  too_many_devices: 'You have registered as many devices as you can, all in all or in one day. Remove one, or wait until tomorrow.',
  device_exists: 'This browser could not be registered. Try again.',
} as const

async function known(work: () => Promise<Done>): Promise<Done> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof CaegisError && error.code === 'device_not_found') return { wrong: 'There is no such device of yours.' }
    throw error
  }
}

const idIn = (form: URLSearchParams) => (form.get('id') ?? '').slice(0, 128)
const nameIn = (form: URLSearchParams) => (form.get('name') ?? '').trim().slice(0, MAX_NAME)

const PLATFORMS: Partial<Record<Platform, string>> = {
  windows: 'Windows',
  macOS: 'a Mac',
  linux: 'Linux',
  android: 'Android',
  iOS: 'iOS',
  windowsPhone: 'a Windows phone',
}

/** How a browser is called until its owner has a better name. */
export function nameOf({ headers }: FastifyRequest): string {
  const platform = platformOf(headers['user-agent'])
  const name = platform && PLATFORMS[platform]
  return name === undefined ? 'My browser' : `Browser on ${name}`
}
