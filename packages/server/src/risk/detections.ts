import type { Detection } from './detection.ts'
import { bruteForce } from './detections/brute-force.ts'
import { impossibleTravel } from './detections/impossible-travel.ts'
import { leakedPassword } from './detections/leaked-password.ts'
import { listedAddress } from './detections/listed-address.ts'
import { passwordSpray } from './detections/password-spray.ts'
import { tokenReplay } from './detections/token-replay.ts'
import { unfamiliar } from './detections/unfamiliar.ts'

/** All of them, in the order in which they are shown. */
export const DETECTIONS: readonly Detection[] = [impossibleTravel, unfamiliar, passwordSpray, bruteForce, tokenReplay, leakedPassword, listedAddress]
