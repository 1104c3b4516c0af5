import type { Control, Decision } from '@caegis/policy'

/** How the token endpoint says that policies stand in the way. */
export interface Refusal {
  error: string
  suberror: string
  /** Entra's number, which its clients and people know. */
  code: number
  text: string
  /** JSON of a claims request: the client repeats it where the user signs in. */
  claims?: string
}

/** Who is refused: for a daemon there is nobody to ask, and for whoever has registered no second factor, something to set up first. */
export interface Refused {
  workload?: boolean
  enrolled?: boolean
}

const TEXTS = {
  50076: 'a policy asks for a second factor; sign in again',
  50079: 'a policy asks for a second factor, and none is registered; sign in again to register one',
  50135: 'the password has to be changed, because of a risk; sign in again',
  53000: 'a policy asks for a device that is compliant',
  53001: 'a policy asks for a device that is joined to the domain',
  53002: 'a policy asks for another application',
  53003: 'access is blocked by a policy',
  70043: 'the sign-in is older than a policy allows; sign in again',
} as const

/** For people: what the number means, and what they can do. */
export const EXPLAINED: Record<keyof typeof TEXTS, { what: string; help: string }> = {
  50076: { what: 'A second factor is needed.', help: 'Sign in again and confirm that it is you.' },
  50079: { what: 'A second factor is needed, and you have none.', help: 'Set one up.' },
  50135: { what: 'Your password has to be changed.', help: 'Choose a new one.' },
  53000: {
    what: 'Your organization lets you in from compliant devices only.',
    help: 'Use a device that your organization manages, or ask your administrator.',
  },
  53001: { what: 'Your organization lets you in from devices of its domain only.', help: 'Use such a device, or ask your administrator.' },
  53002: { what: 'Your organization does not let this application in.', help: 'Use another application, or ask your administrator which.' },
  53003: {
    what: 'Your sign-in was right, but a policy of your organization does not allow this access now.',
    help: 'It may be the place, the device, or the application. Try again from where you usually work, or show this page to your administrator.',
  },
  70043: { what: 'Your sign-in is too old.', help: 'Sign in again.' },
}

const CODES: Record<Control, keyof typeof TEXTS> = {
  signIn: 70043,
  mfa: 50076,
  authenticationStrength: 50076,
  compliantDevice: 53000,
  domainJoinedDevice: 53001,
  approvedApplication: 53002,
  compliantApplication: 53002,
  passwordChange: 50135,
}

/** The number of what stands in the way. */
export function codeOf({ outcome, next }: Decision, { enrolled = true }: Refused): keyof typeof TEXTS {
  if (outcome === 'block' || next === undefined) return 53003
  const code = CODES[next]
  return code === 50076 && !enrolled ? 50079 : code
}

export function refusalOf(decision: Decision, who: Refused): Refusal {
  const code = codeOf(decision, who)
  const text = TEXTS[code]
  // What asks again and again whatever is signed in must not look like something that a sign-in mends.
  if (code === 70043) return { error: 'invalid_grant', suberror: 'bad_token', code, text }
  const blocked = code === 53003
  const ids = blocked ? decision.blockedBy : decision.unmet.map(({ policy }) => policy)
  return {
    error: blocked && who.workload ? 'invalid_grant' : 'interaction_required',
    suberror: blocked ? 'message_only' : 'basic_action',
    ...{ code, text },
    ...(ids.length > 0 ? { claims: JSON.stringify({ access_token: { capolids: { essential: true, values: ids.slice(0, 16) } } }) } : {}),
  }
}
