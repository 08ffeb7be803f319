// Numbers, durations and times as people read them.

export const NOTHING = "–";

export function count({ count: number, capped }) {
  return number.toLocaleString("en") + (capped ? "+" : "");
}

export function rate(number) {
  if (number === null || number === undefined) return NOTHING;
  if (number >= 100) return Math.round(number).toLocaleString("en");
  return number === 0 ? "0" : number.toFixed(number < 10 ? 2 : 1).replace(/\.?0+$/, "");
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export function clock(time) {
  return new Date(time).toLocaleTimeString("en-GB");
}

export function moment(time) {
  const date = new Date(time);
  const today = new Date().toDateString() === date.toDateString();
  return today ? clock(date) : `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${clock(date)}`;
}
