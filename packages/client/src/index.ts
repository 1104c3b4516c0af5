export { type ClaimsChallengeOptions, type Log, type TokenQuestion, withClaimsChallenge } from './claims-challenge.ts'
export { CLIENT_ERRORS } from './errors.ts'
export { type MsalClient, type MsalOptions, type MsalToken, msalToken } from './msal.ts'
