import { describe, expect, it } from 'vitest'
import { readDatabaseUrl } from '../src/database-url.ts'

const read = (text: string) => readDatabaseUrl(text, 10)

describe('the way to PostgreSQL', () => {
  it.each([
    ['postgres://caegis:pw@db.internal/caegis', true],
    ['postgres://10.0.0.7:5432/caegis', true],
    ['postgres://[2001:db8::1]/caegis', true],
    ['postgres://localhost.evil.test/caegis', true],
    ['postgres://localhost/caegis', false],
    ['postgres://[::1]/caegis', false],
    ['postgres:///caegis?host=/run/postgresql', false],
    ['postgres://localhost/caegis?sslmode=verify-full', true],
    ['postgres://db.internal/caegis?sslmode=disable', false],
  ])('is encrypted and checked wherever it leaves the machine, unless somebody says otherwise: %s', (text, tls) => {
    expect(read(text).tls).toBe(tls)
  })

  it.each(['prefer', 'allow', 'require', 'verify-ca', ''])('has no mode that trusts whoever answers: %j', (mode) => {
    expect(() => read(`postgres://db.internal/caegis?sslmode=${mode}`)).toThrow('sslmode=verify-full and sslmode=disable')
  })

  it.each(['postgres://caegis:hunter2%@db/caegis', 'postgres://caegis:hunter2@db', 'mysql://caegis:hunter2@db/caegis', 'hunter2'])(
    'I8: what is wrong is said without the password: %s',
    (text) => {
      expect(() => read(text)).toThrow(expect.objectContaining({ code: 'invalid_settings', message: expect.not.stringContaining('hunter2') }))
    },
  )
})
