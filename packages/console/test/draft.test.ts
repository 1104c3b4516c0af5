import { TEMPLATES } from '@caegis/policy'
import { describe, expect, it } from 'vitest'
import { ApiError } from '../src/api/client.ts'
import { bodyOf, draftFrom, EMPTY, mistakesIn, sectionOf, stillWrong } from '../src/screens/policies/draft.ts'

const sound = { ...draftFrom({ ...TEMPLATES[0]?.policy }), displayName: 'Sound' }

describe('a draft of a policy', () => {
  it('is read from every template and sent as it was, without what the server gives', () => {
    for (const { policy } of TEMPLATES) {
      const draft = draftFrom({ ...policy })
      expect(mistakesIn(draft)).toEqual([])
      const body = bodyOf(draft)
      expect(Object.keys(body)).not.toContain('id')
      expect(draftFrom(body)).toEqual(draft)
    }
  })

  it('is wrong where a condition was begun and nothing chosen, which the server would take for everything', () => {
    const begun = (conditions: object) => mistakesIn({ ...sound, conditions: { ...sound.conditions, ...conditions } }).map(({ path }) => path)
    expect(mistakesIn(sound)).toEqual([])
    expect(begun({ locations: { includeLocations: [], excludeLocations: [] } })).toEqual(['/conditions/locations/includeLocations'])
    expect(begun({ platforms: { includePlatforms: [], excludePlatforms: [] } })).toEqual(['/conditions/platforms/includePlatforms'])
    expect(begun({ authenticationFlows: { transferMethods: [] } })).toEqual(['/conditions/authenticationFlows'])
  })

  it('says of an empty one what is missing, and in which part', () => {
    const parts = mistakesIn(EMPTY).map(({ path }) => sectionOf(path))
    expect(new Set(parts)).toEqual(new Set(['basics', 'who', 'what', 'grant']))
    expect(sectionOf('/conditions/clientApplications/includeServicePrincipals/0')).toBe('who')
    // A name is not a beginning of another one.
    expect(sectionOf('/conditions/applications/includeApplications')).toBe('what')
  })

  it('shows what the server found wrong until it says something else there', () => {
    const users = { ...sound.conditions.users, includeUsers: ['gone', 'there'] }
    const sent = { ...sound, conditions: { ...sound.conditions, users } }
    const error = new ApiError(400, 'invalid_policy', 'no', [{ target: '/conditions/users/includeUsers/0', message: 'there is no such user' }])
    expect(stillWrong(error, sent, { ...sent, displayName: 'Another' })).toHaveLength(1)
    const mended = { ...sent, conditions: { ...sent.conditions, users: { ...users, includeUsers: ['there'] } } }
    expect(stillWrong(error, sent, mended)).toEqual([])
  })
})
