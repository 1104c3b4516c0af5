import { describe, expect, it } from 'vitest'
import { msalToken, oidcToken, type TokenQuestion, withClaimsChallenge } from '../src/index.ts'
import { guarded, startApi } from './api.ts'

/** An issuer whose session has ended, and a person who signs in when the test says so. */
function startPerson(required: () => Error) {
  const asked: string[] = []
  const windows: PromiseWithResolvers<string | undefined>[] = []
  /** What the issuer gives silently; `undefined`: it wants a sign-in. */
  let session: string | undefined
  let silent = 0
  return {
    asked,
    get silent() {
      return silent
    },
    get open() {
      return windows.length
    },
    end(token: string | undefined, failure?: Error) {
      const window = windows.shift()
      session = token
      if (failure) window?.reject(failure)
      else window?.resolve(token)
    },
    /** For one question only: the issuer goes on to want a sign-in for others. */
    endOne: (token: string) => windows.shift()?.resolve(token),
    async askSilently(): Promise<string> {
      silent++
      if (session === undefined) throw required()
      return session
    },
    signIn(claims: string | undefined): Promise<string | undefined> {
      asked.push(claims ?? '')
      const window = Promise.withResolvers<string | undefined>()
      windows.push(window)
      return window.promise
    },
  }
}

const libraries = [
  {
    name: 'msalToken',
    start() {
      const person = startPerson(() => Object.assign(new Error('interaction_required'), { name: 'InteractionRequiredAuthError' }))
      const taken = async (token: Promise<string | undefined>) => {
        const accessToken = await token
        return accessToken === undefined ? undefined : { accessToken }
      }
      const client = { acquireTokenSilent: async (_: { claims?: string }) => ({ accessToken: await person.askSilently() }) }
      const token = msalToken(client, {}, { interactive: ({ claims }) => taken(person.signIn(claims)) })
      return { ...{ person, token }, said: (claims: string) => claims }
    },
  },
  {
    name: 'oidcToken',
    start() {
      const person = startPerson(() => Object.assign(new Error('login_required'), { error: 'login_required' }))
      const taken = async (token: Promise<string | undefined>) => {
        const access_token = await token
        return access_token === undefined ? undefined : { access_token }
      }
      const manager = { getUser: async () => null, signinSilent: async () => ({ access_token: await person.askSilently() }) }
      const token = oidcToken(manager, { interactive: (claims) => taken(person.signIn(claims)) })
      const cp1 = '"access_token":{"xms_cc":{"values":["cp1"]}}'
      return { ...{ person, token }, said: (claims: string) => (claims === '' ? `{${cp1}}` : `${claims.slice(0, -1)},${cp1}}`) }
    },
  },
]

const [ONE, OTHER] = ['{"one":1}', '{"other":1}']

describe.each(libraries)('sign-ins of $name', ({ start }) => {
  it('five calls at once after the end of a session are one sign-in', async () => {
    const { person, token, said } = start()
    const calls = Promise.all(Array.from({ length: 5 }, () => token({})))
    await expect.poll(() => person.open).toBe(1)
    person.end('new')
    expect(await calls).toEqual(Array(5).fill('new'))
    expect(person.asked).toEqual([said('')])
  })

  it('two different questions are one after the other, never two windows at once', async () => {
    const { person, token, said } = start()
    const calls = Promise.all([token({ claims: ONE }), token({ claims: OTHER }), token({ claims: ONE })])
    await expect.poll(() => person.open).toBe(1)
    expect(person.asked).toEqual([said(ONE)])
    person.endOne('first')
    await expect.poll(() => person.open).toBe(1)
    expect(person.asked).toEqual([said(ONE), said(OTHER)])
    person.endOne('second')
    expect(await calls).toEqual(['first', 'second', 'first'])
  })

  it('whoever has waited asks silently first: the sign-in before may have been enough', async () => {
    const { person, token, said } = start()
    const calls = Promise.all([token({ claims: ONE }), token({}), token({ claims: OTHER })])
    await expect.poll(() => person.open).toBe(1)
    person.end('new')
    expect(await calls).toEqual(['new', 'new', 'new'])
    expect(person.asked).toEqual([said(ONE)])
  })

  it('a sign-in that fails is the end for all who shared it, and for nobody else', async () => {
    const { person, token, said } = start()
    const calls = Promise.allSettled([token({ claims: ONE }), token({ claims: ONE }), token({ claims: OTHER })])
    await expect.poll(() => person.open).toBe(1)
    const closed = new Error('user_cancelled')
    person.end(undefined, closed)
    await expect.poll(() => person.asked).toEqual([said(ONE), said(OTHER)])
    person.end('new')
    const rejected = { status: 'rejected', reason: closed }
    expect(await calls).toEqual([rejected, rejected, { status: 'fulfilled', value: 'new' }])
    person.end(undefined)
    const later = token({ claims: ONE })
    await expect.poll(() => person.open).toBe(1)
    person.end('newer')
    expect(await later).toBe('newer')
  })

  it('when the page is being left, those who wait do not send it somewhere else', async () => {
    const { person, token, said } = start()
    const calls = Promise.allSettled([token({ claims: ONE }), token({ claims: OTHER }), token({})])
    await expect.poll(() => person.open).toBe(1)
    person.end(undefined)
    expect((await calls).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(person.asked).toEqual([said(ONE)])
  })

  it('no window opens for a question that nobody waits for any more', async () => {
    const { person, token, said } = start()
    const leaving = new AbortController()
    const first = token({ claims: ONE })
    await expect.poll(() => person.open).toBe(1)
    const gone = token({ claims: OTHER, signal: leaving.signal })
    await expect.poll(() => person.silent).toBe(2)
    leaving.abort(new Error('enough'))
    await expect(gone).rejects.toThrow('enough')
    person.endOne('first')
    expect(await first).toBe('first')
    const last = token({})
    await expect.poll(() => person.open).toBe(1)
    person.endOne('last')
    expect(await last).toBe('last')
    expect(person.asked).toEqual([said(ONE), said('')])
  })

  it('five requests through the fetch are one sign-in too, before the first token and after a challenge', async () => {
    await using server = await startApi(guarded)
    const { person, token } = start()
    let started = 0
    const counted = (question: TokenQuestion) => {
      started++
      return token(question)
    }
    const api = withClaimsChallenge(fetch, { origins: [server.origin], token: counted, wait: async () => {} })
    const calls = Promise.all(Array.from({ length: 5 }, () => api(server.origin)))
    await expect.poll(() => [started, person.open]).toEqual([5, 1])
    person.endOne('dead')
    await expect.poll(() => person.open).toBe(1)
    person.end('good')
    expect((await calls).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    expect(person.asked).toHaveLength(2)
  })
})
