export { fakeApi, type FakeApi } from "./fake-api.ts";
