import type { Detection } from '../detection.ts'

export const leakedPassword: Detection = {
  type: 'leakedCredentials',
  needs: 'leaked',
  says: "The password that was typed, and was right, stands on the operator's list of passwords that have leaked somewhere.",
  falseAlarms:
    'None that matters: it may be that somebody else, elsewhere, had the same password, but it is among those that are tried first. Silent where no password was typed. It is looked up when it is typed, so one that nobody types is not seen.',
  detect({ leaked }) {
    if (leaked !== true) return leaked === 'unknown' ? 'unknown' : undefined
    return {
      type: 'leakedCredentials',
      level: 'high',
      about: 'user',
      why: 'The password of this account stands on a list of passwords that have leaked: whoever guesses tries those first.',
      facts: {},
    }
  },
}
