"""What travellers may want, and how they hint at it. Written for this project.

Six topics an aspect, three values a topic, three hints a value; the last hint of each is for the
test split alone, so that nobody passes it by remembering which sentence meant what. No hint has a
word of its value in it. A line of a topic is `topic: words that ask for it`, a line of a value
`value = hint / hint / hint`.
"""

from __future__ import annotations

FLIGHT = """
seat: seat seating sit row legroom
  window = I could watch the clouds for hours. / I like to lean my head against the wall and doze. / The best part is seeing the coast from above.
  aisle = I get up every half hour to stretch my knees. / I hate climbing over people to get out. / I drink a lot of tea, so I walk about often.
  front row = I want to be among the first off the plane. / My next appointment is right after landing. / The further back I am, the sicker I feel.
departure: departure depart leave takeoff time hour schedule clock when
  morning = I am up at five anyway. / I would like the whole day there once I land. / My best hours are over by lunch.
  afternoon = I have to hand in my keys at noon before I go. / I sleep in, then I like a slow lunch at home. / My last meeting ends at one.
  overnight = I can sleep anywhere, and a bed costs money. / I work a full day and want to wake up there. / Dinner at home, breakfast over there, that would be perfect.
meal: meal food eat snack
  vegetarian = I have not touched chicken or fish in years. / My plate has no animals on it. / I grew up on lentils and never missed a steak.
  halal = No pork for me, and it has to be slaughtered the right way. / In my family we eat as the Quran says. / I follow the rules of my mosque at the table.
  gluten-free = Bread makes me ill. / My doctor took pasta and flour from me. / Coeliac, sadly, so wheat is out.
baggage: baggage bag luggage suitcase carry pack
  cabin bag only = Three shirts and a toothbrush, that is all I bring. / I walk straight past the carousel, always. / Everything I own fits under the chair in front of me.
  checked suitcase = I pack for every weather there is. / I am bringing presents for the whole family. / My shoes alone need more room than a rucksack.
  sports gear = My surfboard comes with me. / I race on Sunday and ride nothing but my own bike. / I have my skis waxed already.
stops: stop layover nonstop direct connection connecting transfer change
  none = Up once, down once, please. / I once missed a plane in Frankfurt, never again. / I want to board, sleep, and be there.
  short = An hour in between to stretch is fine, not more. / I do not mind changing, if I need not wait about. / A quick coffee between two planes is all right.
  long = I would love half a day to look at a city on the way. / I like to break up the way with a proper dinner somewhere. / Give me time for a museum between the planes.
cabin: cabin class
  economy = I only need a chair that goes where I go. / I would rather spend it on the ground than in the air. / For me a plane is a bus.
  premium economy = I am tall, so a little more space, but no champagne. / A step above the cheapest chairs is enough for me. / I can do without a bed up there, not without my knees.
  business = I have to work on the way and arrive rested. / My company pays, and I want to lie flat. / I like the lounge, and a glass of something before we go.
"""

HOTEL = """
view: view overlook outlook vista
  sea = I want to fall asleep looking at waves. / I grew up on an island and miss the horizon. / Sails on the water, that is what I open curtains for.
  garden = Green leaves calm me down. / I like to have roses outside when I wake up. / Give me trees and birds to look at.
  skyline = I love the lights of towers at night. / Rooftops as far as I can look, that is my postcard. / I photograph tall buildings after dark.
bed: bed mattress sleep
  king = My wife and I both sprawl. / I sleep like a starfish. / I am two metres tall and so is my partner.
  twin = My colleague and I share a room, not a blanket. / My brother kicks at night, so apart, please. / We are friends, not a couple.
  bunk = The kids fight over who may climb up. / My boys want a ladder. / One above the other is what my girls call an adventure.
breakfast: breakfast brunch
  buffet = I want to go back for seconds and thirds. / I can never decide, so I take a little of everything. / I like a long table full of things to choose from.
  vegan = No eggs, no milk, not even honey at eight o'clock. / I bring oat milk wherever I go. / Nothing from animals on my toast.
  in the room = I do not see anyone before ten. / A tray and my pyjamas, that is my holiday. / I like my coffee brought to me under the blanket.
floor: floor storey level high elevator stairs
  ground = My knee does not do stairs. / My mother comes along with her wheelchair. / I want to step straight outside.
  middle = Not too far up, not too near the street. / I am uneasy with heights, and with passers-by as well. / Two or three flights of stairs, I count them as sport.
  top = I never want to hear footsteps over my head. / The higher, the better. / As near to the sky as they let me.
wellness: wellness facility facilities amenity amenities spa relax
  pool = I swim my laps each morning. / The children live in the water. / My goggles are packed already.
  gym = I lift weights every other day. / I am training and must not lose a day. / A treadmill is what wakes me up.
  sauna = I am Finnish, I need to sweat. / Nothing helps my back like dry heat. / First ninety degrees, then cold water: that is rest.
location: location located area neighbourhood neighborhood district situated
  old town = I want to step out among narrow lanes and old churches. / I love crooked houses and cobblestones. / I come for the medieval part of the place.
  beachfront = Sand between my toes before coffee. / I want to walk barefoot to my towel. / From the door to the surf in one minute.
  by the station = I take the first train every day. / I do not want to drag my case further than a platform. / My work is in three towns along the railway.
"""

APARTMENT = """
bedrooms: bedroom bedrooms size people person guest guests sleep
  studio = It is only me, and I like everything in one space. / I need no doors, I live alone. / A desk and a mattress in one corner will do.
  two bedrooms = My parents come along and go to sleep early. / We are two couples. / The baby sleeps apart from us now.
  three bedrooms = Us, the grandparents, and the twins. / Six friends, and everybody snores. / My parents, my wife's parents and we, each behind a door of our own.
kitchen: kitchen cook cooking
  full = I cook for all of us every night. / I roast a whole fish on Sundays. / I travel with my own knives.
  kitchenette = I only make tea and toast. / A small stove for the pasta of the children, no more. / I warm up soup, that is the end of my skill.
  no stove = I have not touched a pan since school. / I am going to eat out three times a day. / The fewer things that can burn, the better.
outdoor: outdoor outside balcony terrace garden
  balcony = I need a ledge for my morning cigarette. / Two chairs and railings over the street, that is all I want out there. / I like to look down on the market with a glass in hand.
  garden = The children want to run on grass. / I like to read under a tree. / My tortoise comes along and wants a lawn.
  roof terrace = I want to grill with all of the city below me. / Nothing over me but stars at dinner. / Sunset above the chimneys, that would be a dream.
laundry: laundry wash washing clothes
  washer = Two toddlers: I do a load a day. / I travel with four shirts, so they are clean again each evening. / My running things cannot wait till I am home.
  shared room = Once in ten days I go down to the cellar with a basket, that is fine. / I like to meet the neighbours over the spin cycle. / A few coins and a machine downstairs, as at university.
  cleaning service = I want someone to do the sheets and shirts for me. / This is my holiday from housework. / I would pay not to see a basket of socks.
pets: pet pets animal animals dog cat
  cats welcome = Minka goes where I go, litter box and all. / My companion purrs. / Somebody with whiskers will sleep on my feet.
  dogs welcome = Rex needs his walk at six. / I am bringing a beagle. / My best friend barks at the postman.
  none allowed = I sneeze at the first hair. / My daughter is allergic to fur. / I was bitten as a child and like to be sure.
climate: climate heat heating cooling cool warm temperature conditioning
  air conditioning = I melt above twenty-five degrees. / I cannot sleep in a hot room. / In summer I live inside the fridge.
  fireplace = I want to hear logs crackle. / Evenings are for flames and a book. / I like to chop wood before dinner.
  underfloor heating = I walk barefoot, even in winter. / My feet are always cold on tiles. / No radiators, please, but nobody shall need slippers.
"""

RENTAL_CAR = """
fuel: fuel petrol gas engine drive power
  electric = I charge at home and would not go back. / I want no exhaust at all. / Silence and a plug, that is how I like to drive.
  diesel = I drive a thousand kilometres in a go. / I count every litre on the motorway. / I like the pull of an old truck.
  hybrid = I creep through towns and then cross the mountains. / I like to save in traffic, without looking for a charger. / A bit of both, like mine at home.
size: size big large small passengers
  compact = I always have to park in tiny gaps. / Two of us, two rucksacks, narrow streets. / The smaller, the better I drive it.
  van = We are seven with the grandparents. / The whole band comes along, drums included. / I have to move a wardrobe on the way.
  off-roader = The hut is at the end of a gravel track. / I want to sit high and cross a ford. / Where we go there is mud instead of asphalt.
equipment: equipment extra extras accessory accessories equipped child toddler rack chains
  child seat = Our little one is two. / My toddler has to be buckled in properly. / My niece is three and comes along.
  roof rack = The kayaks have to go somewhere. / We carry planks longer than any boot. / Our skis never fit inside.
  snow chains = The pass is white until May. / We go up to the glacier. / There will be ice on the last ten kilometres.
insurance: insurance insured cover coverage damage excess
  full = I scratch something every single time. / I do not want to think about dents. / If it comes back in pieces, that must not be my problem.
  basic = I have never had an accident in thirty years. / My credit card takes care of most of that. / Only what the law asks for.
  roadside = I once stood in the desert with a flat tyre for six hours. / What I fear is standing still with smoke coming out. / Somebody must come at night if it will not start.
brand: brand make maker manufacturer model
  japanese = I trust what they build in Toyota City. / My last three came from Hiroshima and never broke. / Made on the islands of the rising sun, those I know by heart.
  german = My father worked in Wolfsburg. / I like what comes from Stuttgart. / Something from Bavaria, I would say, for the bends.
  italian = Something from Turin has charm, even when it rattles. / I want my heart to beat, so south of the Alps. / I learnt to drive in a Cinquecento.
pickup: pickup pick collect collection handover deliver
  airport = I want to go from the plane straight to the wheel. / Keys right after customs, please. / I do not want a taxi before I have a car.
  station = I come in by train. / Platform, keys, gone. / The railway brings me, and from there I drive.
  city office = I walk about downtown on the first day and get it later. / I would fetch it on foot, from the middle of things. / I only want it after a morning in the centre.
"""

RESTAURANT = """
cuisine: cuisine food dish dishes eat
  japanese = I dream of raw fish and rice. / I am good with chopsticks and love miso. / Ramen on a cold day, there is nothing better.
  mexican = I put chilli and lime on everything. / Corn tortillas, I could live on them. / Mole is the greatest sauce there is.
  italian = My grandmother rolled her own pasta. / I judge a place by its basil and olive oil. / Risotto, slowly stirred, makes me happy.
diet: diet dietary allergy allergies restriction intolerance vegetarian
  vegan = I eat nothing that had a mother. / No cheese, no butter, no meat. / Plants only, for eleven years now.
  gluten-free = A crumb of bread ruins my week. / Wheat and I parted ways. / My stomach takes rice, never flour.
  kosher = Meat and milk never meet on my table. / My rabbi would ask where I ate. / I keep the rules of my grandparents from Haifa.
setting: setting table seating sit outside inside indoors
  terrace = I like fresh air while I eat. / I want the evening sun on my face. / Under a parasol everything tastes better.
  private room = I have to propose to someone, without an audience. / We will talk about a contract nobody may hear. / I would like a door that closes behind us.
  counter = I like to watch the cook's hands. / I eat alone and talk to the chef. / A stool where the knives fly, that is my place.
atmosphere: atmosphere mood ambience ambiance noise loud music vibe
  quiet = My hearing aid hates crowds. / I want to understand every word of my date. / After a week of meetings I need calm.
  live music = I would love a trumpet with the dessert. / Somebody should play the piano. / A singer in the corner makes the evening.
  lively = I like to be squeezed among laughing strangers. / The more glasses clink, the better. / I want a place that hums on a Saturday.
dress: dress clothes wear attire code
  casual = I only have trainers with me. / I am not going to take off my shorts. / I come straight from the beach.
  smart = I will put on a nice shirt, but no tie. / A blazer is as far as I go. / I would like to polish my shoes for it, no more.
  formal = I want a reason for my evening gown. / My dinner jacket has waited for a year. / It is our golden wedding, black tie and pearls.
menu: menu course courses serve served portion
  tasting = I want seven little plates and a story with each. / I let the chef decide, from first to last. / Surprise me, bite by bite, all evening.
  buffet = I like to see it before I take it, and to take it twice. / I eat like a horse and want to refill. / I walk along and load my own plate.
  to share = Everything in the middle, and all of us dig in. / I always eat from my friends' plates anyway. / We like six dishes for four forks.
"""

CITIES = {
    "train": """
        Lisbon Oslo Vienna Athens Prague Dublin Madrid Helsinki Warsaw Budapest Zurich Milan
        Seville Bergen Hamburg Lyon Porto Krakow Riga Cairo Mumbai Toronto Chicago Seattle
        Sydney Osaka Bangkok Lima Santiago Nairobi
    """,
    "test": "Rome Berlin Paris Boston Denver Tokyo Seoul Hanoi Bogota Tunis Tallinn Geneva",
}

NAMES = {
    "train": """
        Amber Anchor Birch Cedar Clover Comet Copper Coral Falcon Harbour Heron Juniper Lantern
        Maple Meridian Orchid Pebble Pilgrim Raven Saffron Silver Summit Swallow Willow
    """,
    "test": "Acorn Basalt Cobalt Dolphin Ember Fjord Granite Ivory Lotus Marble Osprey Thistle",
}
"""What places and firms are called, one pool a split."""
