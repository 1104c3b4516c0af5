export { type Address, compileRanges, POLICY_ERRORS, parseAddress, type RangeTable } from './ranges.ts'
