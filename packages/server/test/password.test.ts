import { describe, expect, it } from 'vitest'
import { hashPassword, verifyPassword } from '../src/directory/password.ts'

describe('passwords', () => {
  it('are verified against their own hash only, and against none without one', async () => {
    const stored = await hashPassword('correct horse battery')
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
    expect(await verifyPassword('correct horse battery', stored)).toBe(true)
    expect(await verifyPassword('correct horse batterz', stored)).toBe(false)
    expect(await verifyPassword('correct horse battery', null)).toBe(false)
  })

  it.each(['short', 'x'.repeat(257)])('of a wrong length are not hashed', async (password) => {
    await expect(hashPassword(password)).rejects.toMatchObject({ code: 'invalid_password' })
  })

  it('are refused as busy beyond what a few seconds can hash, and the ones before are still answered', async () => {
    const all = await Promise.allSettled(Array.from({ length: 140 }, () => verifyPassword('x', null)))
    const refused = all.filter((one) => one.status === 'rejected')
    expect(refused.length).toBe(140 - 128 - 2)
    for (const one of refused) expect((one as PromiseRejectedResult).reason).toMatchObject({ code: 'overloaded' })
    expect(await verifyPassword('x', null)).toBe(false)
    // That many hashes are the point of it, and a machine may have others to serve.
  }, 60_000)
})
