import type { Detection } from './detection.ts'

/** All of them, in the order in which they are shown. */
export const DETECTIONS: readonly Detection[] = []
